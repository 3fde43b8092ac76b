/* TESTS: secrets/decode.c secrets/secmem.c lib/str.c lib/json.c lib/clock.c */
/* LDFLAGS: -lcjson -lcrypto */
/*
 * Any bytes as a service's reply: JSON that is taken has names that can be found again, whose texts
 * are strings that cJSON has too; XML and base64 stay within bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/decode.h"
#include "secrets/secmem.h"

static void check_members(const char *text, size_t size, const cJSON *tree)
{
	const cJSON *member;

	decode_each(member, tree)
	{
		const char *const path[] = {member->string, NULL};
		struct decode_span span;
		size_t length;
		if (!decode_find(text, size, path, &span))
			abort();
		char *value = decode_text(&span, &length);
		if (!value)
			abort();
		if (cJSON_IsString(member) && strcmp(member->valuestring, value) != 0)
			abort();
		secmem_free(value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char sentence[128], value[64];
	const char *text = (const char *)data;
	struct strbuf why;
	size_t length;

	decode_init();
	strbuf_init(&why, sentence, sizeof(sentence));
	cJSON *tree = decode_parse(text, size, &why);
	if (!tree && why.length == 0)
		abort();
	if (cJSON_IsObject(tree))
		check_members(text, size, tree);
	cJSON_Delete(tree);
	secmem_free(decode_base64(text, size, &length));
	if (decode_xml(text, size, "AccessKeyId", value, sizeof(value)) &&
	    strlen(value) >= sizeof(value))
		abort();
	if (size < sizeof(value)) {
		memcpy(value, data, size);
		value[size] = '\0';
		(void)decode_time(value);
	}
	return 0;
}
