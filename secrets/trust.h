#pragma once
/*
 * Which CAs a server is checked against, as one store for all connections of a run.
 *
 * libcurl reads its CAs anew for each connection. With the hundred and more that a machine has, four
 * connections spend three times as long on that as on all else, so they share a store that is made
 * here. Of the machine's CAs it looks up those that a server's certificate names, where the folder
 * of certificates has them by their hash. The bundle, which has all of them, is read when that folder
 * does not lead to one that is trusted: what is trusted is both, as libcurl has it.
 */
#include <stdbool.h>

#include <openssl/x509.h>

#include "secrets/http.h"

/* Once, while all files can be seen. */
void trust_init(void);
void trust_finish(void);

/* The store for tls (NULL: the machine's CAs), borrowed until trust_finish. NULL: its CAs cannot be
 * read, or there is no memory. */
X509_STORE *trust_store(const struct http_tls *tls);
/* Whether all that there is for tls has been read, and so there is nothing left to be tried. */
bool trust_is_whole(const struct http_tls *tls);
/* Reads it. False: it is as it was. */
bool trust_widen(const struct http_tls *tls);
