#pragma once
/*
 * A call to Systems Manager or Secrets Manager: JSON 1.1 by POST, signed anew for each attempt; which
 * refusals are worth another try; and what a refusal means for the secrets that were asked for.
 */
#include <cjson/cJSON.h>

#include "secrets/endpoint.h"
#include "secrets/http.h"

struct awscall_service {
	const struct endpoint_service *endpoint;
	const char *target; /* AmazonSSM */
};

struct awscall {
	struct http_call http;
	const struct awscall_service *service;
	const char *operation;	     /* GetParameters */
	const char *region;	     /* borrowed; NULL or empty: aws_region() */
	char *body;		     /* owned */
	char url[HTTP_URL_MAX];	     /* of the service */
	char error[128];	     /* __type of a refusal, without what stands before '#' */
	char action[64];	     /* that is not allowed, where its message names one */
	enum secret_outcome meaning; /* of a refusal */
	bool has_corrected_time;
	bool has_other_way; /* the caller's: when it is slowed down it is over, and is_throttled */
	bool is_throttled;
	void *context; /* the caller's */
};

/* body: a tree that is taken over and freed. 0 or -ENOMEM. */
int awscall_init(struct awscall *call, const struct awscall_service *service, const char *operation,
		 cJSON *body);
void awscall_finish(struct awscall *call);

/* Makes all n calls; those that were refused for credentials out of the state once more with fresh
 * ones. On any outcome but SECRET_OK no call was made, and a sentence is in why. */
enum secret_outcome awscall_run(struct run *run, struct awscall *calls, size_t n,
				struct strbuf *why);

/* What became of it: SECRET_OK and the reply's tree, to be deleted; or what it means for what was
 * asked, with a sentence in why. */
enum secret_outcome awscall_result(const struct awscall *call, cJSON **ret_tree,
				   struct strbuf *why);
