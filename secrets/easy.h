#pragma once
/*
 * One attempt's libcurl handle (call->easy): what it trusts, what it sends, and where what comes goes.
 * All of it is from the call; nothing is sent here.
 */
#include "secrets/httpcall.h"

/* The CAs that the call is checked against, as trust.h takes them; NULL: the machine's. */
const char *easy_ca_of(const struct http_tls *tls);
/* In bytes. */
uint32_t easy_reply_max(const struct http_call *call);

/* Whom it trusts and who it is. 0, or -EINVAL: what there is for that cannot be used; why may say what. */
int easy_set_tls(struct http_call *call);
void easy_set_body(struct http_call *call);
/* left_ms: until the run's deadline. */
void easy_set_options(struct http_call *call, uint32_t left_ms);
