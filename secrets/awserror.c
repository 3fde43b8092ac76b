#include "secrets/awserror.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

static const char *const throttles[] = {
	"Throttling",
	"ThrottlingException",
	"ThrottledException",
	"RequestThrottled",
	"RequestThrottledException",
	"TooManyRequestsException",
	"RequestLimitExceeded",
	"SlowDown",
	"ProvisionedThroughputExceededException",
	"PriorRequestNotComplete",
	"RequestTimeout",
	"BandwidthLimitExceeded",
	"TransactionInProgressException",
	"EC2ThrottledException",
	"LimitExceededException",
	"InternalServiceError",
	"InternalServerError",
	/* STS, which could not ask who issued the token. */
	"IDPCommunicationError",
};

static const char *const time_errors[] = {
	"RequestTimeTooSkewed",	 "RequestExpired",     "InvalidSignatureException",
	"SignatureDoesNotMatch", "RequestInTheFuture",
};

static const char *const token_errors[] = {
	"ExpiredTokenException", "ExpiredToken",	  "UnrecognizedClientException",
	"InvalidClientTokenId",	 "InvalidTokenException",
};

static const struct {
	const char *type;
	const char *words; /* of its message; NULL: whatever it is */
	enum secret_outcome outcome;
} meanings[] = {
	{"ResourceNotFoundException", NULL, SECRET_NOT_FOUND},
	{"ParameterNotFound", NULL, SECRET_NOT_FOUND},
	{"ParameterVersionNotFound", NULL, SECRET_NOT_FOUND},
	{"ParameterVersionLabelNotFound", NULL, SECRET_NOT_FOUND},
	{"ValidationException", NULL, SECRET_MALFORMED},
	{"InvalidParameterException", NULL, SECRET_MALFORMED},
	/* Of a secret that ends in some days, and is as good as gone. */
	{"InvalidRequestException", "marked for deletion", SECRET_NOT_FOUND},
	{"InvalidRequestException", NULL, SECRET_MALFORMED},
	{"InvalidFilterKey", NULL, SECRET_MALFORMED},
	{"SerializationException", NULL, SECRET_MALFORMED},
	{"UnknownOperationException", NULL, SECRET_MALFORMED},
	/* A key of KMS that is not for us, or is switched off. */
	{"InvalidKeyId", NULL, SECRET_DENIED},
	{"DecryptionFailure", NULL, SECRET_DENIED},
	{"InternalServiceErrorException", NULL, SECRET_TEMPORARY},
};

bool awserror_is_throttle(const char *type)
{
	return str_is_one_of(type, throttles, ARRAY_COUNT(throttles));
}

bool awserror_is_time(const char *type)
{
	return str_is_one_of(type, time_errors, ARRAY_COUNT(time_errors));
}

bool awserror_is_token(const char *type)
{
	return str_is_one_of(type, token_errors, ARRAY_COUNT(token_errors));
}

enum secret_outcome awserror_meaning(const char *type, int status, const char *message)
{
	for (size_t i = 0; i < ARRAY_COUNT(meanings); i++) {
		const char *words = meanings[i].words;
		if (str_equal(type, meanings[i].type) &&
		    (!words || (message && strstr(message, words))))
			return meanings[i].outcome;
	}
	/* AccessDenied, InvalidSignature, IncompleteSignature, MissingAuthenticationToken, … */
	return status >= 400 && status < 500 ? SECRET_DENIED : SECRET_TEMPORARY;
}

bool awserror_action(const char *message, char *to, size_t size)
{
	static const char before[] = "not authorized to perform: ";
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	const char *at = message ? strstr(message, before) : NULL;

	/* Who is refused by the key alone is told so in other words. */
	if (message && !at &&
	    (strstr(message, "Access to KMS") || strstr(message, "customer master key")))
		return str_copy(to, size, "kms:Decrypt");
	if (!at)
		return false;
	at += strlen(before);
	size_t service = strspn(at, letters);
	size_t action = service > 0 && at[service] == ':' ? strspn(at + service + 1, letters) : 0;
	if (action == 0 || service + 1 + action >= size)
		return false;
	memcpy(to, at, service + 1 + action);
	to[service + 1 + action] = '\0';
	return true;
}
