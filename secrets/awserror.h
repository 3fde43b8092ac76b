#pragma once
/*
 * What AWS says when it refuses: which refusals are worth another try, and of what kind; and what the
 * others mean for whatever was asked for. Types are as SSM, Secrets Manager and STS have them, without
 * what stands before '#'.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/secretreport.h"

/* By SSM these come with HTTP 400: it is the type that counts. */
bool awserror_is_throttle(const char *type);
/* Refused perhaps for the time that was signed. */
bool awserror_is_time(const char *type);
/* The credentials are none that the service takes, or no longer. */
bool awserror_is_token(const char *type);

/* What the refusal means; message is the service's, or NULL. */
enum secret_outcome awserror_meaning(const char *type, int status, const char *message);

/* The action that the message says is not allowed, as ssm:GetParameters or kms:Decrypt. False when it
 * names none: then it is the call's own. */
bool awserror_action(const char *message, char *to, size_t size);
