#pragma once
/*
 * Who we are for AWS: the chain of credentials (environment, web identity, container, instance), the
 * region, the CAs, and the time as AWS has it. Each run asks anew, but for what the state still has
 * with a quarter of an hour to go.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/secretreport.h"
#include "lib/str.h"
#include "secrets/http.h"
#include "secrets/run.h"
#include "secrets/sign.h"

/* First half: reads what only we may read now (token files, AWS_CA_BUNDLE). Idempotent; what is
 * wrong with it is said by aws_begin. */
void aws_prepare(struct run *run);

/* Second half: the region, and credentials by the chain, once a run. On any outcome but SECRET_OK a
 * sentence is in why. */
enum secret_outcome aws_begin(struct run *run, struct strbuf *why);

/* After aws_begin. */
const char *aws_region(void);
const struct sign_credentials *aws_credentials(void);
const struct http_tls *aws_tls(void);
/* Who we are for AWS, in words: "the instance's role web". No key in it but an id. */
const char *aws_identity(void);

/* Unix seconds, corrected by what was learnt from Date. */
int64_t aws_now(void);
/* The server's time of a call that was refused: true when it tells that our clock is wrong by more
 * than AWS forgives, which is then corrected for, and it is worth a second try. */
bool aws_learn_time(int64_t date);

/* The credentials were refused. True when they came from the state, and so aws_begin may bring
 * better ones. */
bool aws_distrust(void);

/* Wipes. */
void aws_finish(void);
