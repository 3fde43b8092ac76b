#include "tools/oci.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "tools/unpack.h"

#define JSON_MAX     (8 << 20)
#define DIGEST_BYTES 64 /* of sha256, in hex */
#define NAME_KEY     "org.opencontainers.image.ref.name"
#define BASE_KEY     "org.opencontainers.image.base.name"
#define BASE_DIGEST  "org.opencontainers.image.base.digest"

struct reader {
	int fd; /* of the layout's folder */
	const char *tag;
	struct strbuf *message;
	struct oci *oci;
};

static void free_json(cJSON **json)
{
	cJSON_Delete(*json);
}

/* ---------------------------------------------------------------- lists */

static size_t list_count(char **list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int list_add(char ***list, const char *text)
{
	size_t n = list_count(*list);
	char **grown = reallocarray(*list, n + 2, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[n] = strdup(text);
	grown[n + 1] = NULL;
	return grown[n] ? 0 : -ENOMEM;
}

static int list_add_strings(char ***list, const cJSON *array)
{
	const cJSON *item;
	int r = 0;

	cJSON_ArrayForEach(item, array)
	{
		if (r == 0 && cJSON_IsString(item))
			r = list_add(list, item->valuestring);
	}
	return r;
}

static int list_make(char ***list)
{
	if (!*list)
		*list = calloc(1, sizeof(**list));
	return *list ? 0 : -ENOMEM;
}

static void list_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

void oci_finish(struct oci *oci)
{
	list_free(oci->layers);
	list_free(oci->config.environment);
	list_free(oci->config.command);
	list_free(oci->config.names);
	free(oci->config.base);
	*oci = (struct oci){0};
}

/* ---------------------------------------------------------------- files of the layout */

static const char *text_of(const cJSON *object, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static int wrong(const struct reader *reader, const char *path, const char *what)
{
	strbuf_addf(reader->message, "%s: %s", path, what);
	return -EBADMSG;
}

static int read_json(const struct reader *reader, const char *path, cJSON **ret_json)
{
	CLEANUP(fd_closep) int fd = unpack_open_file(reader->fd, path);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return wrong(reader, path, strerror(fd < 0 ? -fd : errno));
	if (!S_ISREG(st.st_mode) || st.st_size > JSON_MAX)
		return wrong(reader, path, "expected a file of at most 8 MiB");
	char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	ssize_t size = io_read_full(fd, text, (size_t)st.st_size);
	*ret_json = size < 0 ? NULL : cJSON_ParseWithLength(text, (size_t)size);
	free(text);
	return *ret_json ? 0 : wrong(reader, path, "expected JSON");
}

/* "sha256:…" is blobs/sha256/…; a name of another kind could lead anywhere. */
static int blob_path(const struct reader *reader, const cJSON *descriptor, char path[PATH_MAX])
{
	static const char algorithm[] = "sha256:";
	const char *digest = text_of(descriptor, "digest");

	if (!digest || !str_starts(digest, algorithm) ||
	    strspn(digest + strlen(algorithm), "0123456789abcdef") != DIGEST_BYTES ||
	    strlen(digest) != strlen(algorithm) + DIGEST_BYTES)
		return wrong(reader, digest ? digest : "a descriptor",
			     "expected a digest, sha256: and 64 hexadecimal digits");
	(void)snprintf(path, PATH_MAX, "blobs/sha256/%s", digest + strlen(algorithm));
	return 0;
}

static int read_blob(const struct reader *reader, const cJSON *descriptor, cJSON **ret_json)
{
	char path[PATH_MAX];
	int r = blob_path(reader, descriptor, path);

	return r < 0 ? r : read_json(reader, path, ret_json);
}

/* ---------------------------------------------------------------- what it says of itself */

static int take_config(const struct reader *reader, const cJSON *image)
{
	const cJSON *config = cJSON_GetObjectItemCaseSensitive(image, "config");
	struct image_config *to = &reader->oci->config;
	int r = list_add_strings(&to->environment, cJSON_GetObjectItemCaseSensitive(config, "Env"));

	if (r == 0)
		r = list_add_strings(&to->command,
				     cJSON_GetObjectItemCaseSensitive(config, "Entrypoint"));
	if (r == 0)
		r = list_add_strings(&to->command, cJSON_GetObjectItemCaseSensitive(config, "Cmd"));
	return r;
}

static int take_base(const struct reader *reader, const cJSON *manifest)
{
	const cJSON *notes = cJSON_GetObjectItemCaseSensitive(manifest, "annotations");
	const char *base = text_of(notes, BASE_KEY);

	if (!base)
		return 0;
	reader->oci->config.base = strdup(base);
	reader->oci->config.has_base_digest = text_of(notes, BASE_DIGEST) != NULL;
	return reader->oci->config.base ? 0 : -ENOMEM;
}

/* ---------------------------------------------------------------- the OCI layout */

static int take_manifest(const struct reader *reader, const cJSON *manifest)
{
	CLEANUP(free_json) cJSON *config = NULL;
	const cJSON *layer;
	int r = read_blob(reader, cJSON_GetObjectItemCaseSensitive(manifest, "config"), &config);

	if (r == 0)
		r = take_config(reader, config);
	if (r == 0)
		r = take_base(reader, manifest);
	cJSON_ArrayForEach(layer, cJSON_GetObjectItemCaseSensitive(manifest, "layers"))
	{
		char path[PATH_MAX];
		if (r == 0)
			r = blob_path(reader, layer, path);
		if (r == 0)
			r = list_add(&reader->oci->layers, path);
	}
	return r;
}

/* Attestations and signatures stand among the images, for no system. */
static bool is_image(const cJSON *descriptor)
{
	const cJSON *platform = cJSON_GetObjectItemCaseSensitive(descriptor, "platform");
	const char *system = text_of(platform, "os");

	return cJSON_IsObject(descriptor) && (!system || strcmp(system, "unknown") != 0);
}

static bool is_for_us(const cJSON *descriptor)
{
	static const char *const names[][2] = {
		{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"}, {"i686", "386"}};
	const char *processor =
		text_of(cJSON_GetObjectItemCaseSensitive(descriptor, "platform"), "architecture");
	struct utsname name;

	if (!processor || uname(&name) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcmp(names[i][0], name.machine) == 0)
			return strcmp(names[i][1], processor) == 0;
	}
	return strcmp(name.machine, processor) == 0;
}

static int refuse(const struct reader *reader, size_t n, const char *tags)
{
	const char *what = reader->tag ? "it has not the one image of that tag"
			   : n > 1     ? "it has several images"
				       : "it has no image";

	strbuf_adds(reader->message, what);
	if (*tags)
		strbuf_addf(reader->message, ": expected PATH:TAG, with one of%s", tags);
	return n > 1 ? -ENOTUNIQ : -ENOENT;
}

/* The one of the list that was asked for, by tag, or the only one. */
static int pick_named(const struct reader *reader, const cJSON *list, const cJSON **ret_picked)
{
	char tags[1024];
	struct strbuf known;
	const cJSON *item, *picked = NULL;
	size_t n = 0;

	strbuf_init(&known, tags, sizeof(tags));
	cJSON_ArrayForEach(item, list)
	{
		const char *tag =
			text_of(cJSON_GetObjectItemCaseSensitive(item, "annotations"), NAME_KEY);
		if (!is_image(item))
			continue;
		if (tag)
			strbuf_addf(&known, " %s", tag);
		if (reader->tag && (!tag || strcmp(tag, reader->tag) != 0))
			continue;
		picked = item;
		n++;
	}
	if (n != 1)
		return refuse(reader, n, tags);
	const char *tag =
		text_of(cJSON_GetObjectItemCaseSensitive(picked, "annotations"), NAME_KEY);
	*ret_picked = picked;
	return tag ? list_add(&reader->oci->config.names, tag) : 0;
}

/* One image for several processors: they are the same but for that. */
static const cJSON *pick_platform(const cJSON *list)
{
	const cJSON *item, *first = NULL;

	cJSON_ArrayForEach(item, list)
	{
		if (is_image(item) && is_for_us(item))
			return item;
		if (is_image(item) && !first)
			first = item;
	}
	return first;
}

static int read_oci(const struct reader *reader)
{
	CLEANUP(free_json) cJSON *index = NULL;
	CLEANUP(free_json) cJSON *inner = NULL;
	CLEANUP(free_json) cJSON *manifest = NULL;
	const cJSON *picked = NULL, *list;
	int r = read_json(reader, "index.json", &index);

	if (r == 0)
		r = pick_named(reader, cJSON_GetObjectItemCaseSensitive(index, "manifests"),
			       &picked);
	if (r == 0)
		r = read_blob(reader, picked, &inner);
	if (r < 0)
		return r;
	list = cJSON_GetObjectItemCaseSensitive(inner, "manifests");
	if (!list)
		return take_manifest(reader, inner);
	picked = pick_platform(list);
	if (!picked)
		return wrong(reader, "index.json", "it leads to no image");
	r = read_blob(reader, picked, &manifest);
	return r < 0 ? r : take_manifest(reader, manifest);
}

/* ---------------------------------------------------------------- docker-save */

/* What stands behind the last colon, which is not that of a registry's port. */
static const char *tag_of(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon && !strchr(colon, '/') ? colon + 1 : name;
}

static bool has_name(const cJSON *image, const char *tag)
{
	const cJSON *name;

	cJSON_ArrayForEach(name, cJSON_GetObjectItemCaseSensitive(image, "RepoTags"))
	{
		if (cJSON_IsString(name) && strcmp(tag_of(name->valuestring), tag) == 0)
			return true;
	}
	return false;
}

static void add_names(const cJSON *image, struct strbuf *known)
{
	const cJSON *name;

	cJSON_ArrayForEach(name, cJSON_GetObjectItemCaseSensitive(image, "RepoTags"))
	{
		if (cJSON_IsString(name))
			strbuf_addf(known, " %s", tag_of(name->valuestring));
	}
}

static int read_docker(const struct reader *reader)
{
	CLEANUP(free_json) cJSON *manifest = NULL;
	CLEANUP(free_json) cJSON *config = NULL;
	char tags[1024];
	struct strbuf known;
	const cJSON *item, *image = NULL;
	size_t n = 0;
	int r = read_json(reader, "manifest.json", &manifest);

	if (r < 0)
		return r;
	strbuf_init(&known, tags, sizeof(tags));
	cJSON_ArrayForEach(item, manifest)
	{
		add_names(item, &known);
		if (reader->tag && !has_name(item, reader->tag))
			continue;
		image = item;
		n++;
	}
	if (n != 1)
		return refuse(reader, n, tags);
	const char *path = text_of(image, "Config");
	r = path ? read_json(reader, path, &config)
		 : wrong(reader, "manifest.json", "expected \"Config\"");
	if (r == 0)
		r = take_config(reader, config);
	if (r == 0)
		r = list_add_strings(&reader->oci->config.names,
				     cJSON_GetObjectItemCaseSensitive(image, "RepoTags"));
	return r < 0 ? r
		     : list_add_strings(&reader->oci->layers,
					cJSON_GetObjectItemCaseSensitive(image, "Layers"));
}

/* ---------------------------------------------------------------- either */

static bool has_file(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, 0) == 0;
}

/* A list of images. Web applications have a file of that name too, and there it is an object. */
static bool is_docker(int fd)
{
	char start[64];
	CLEANUP(fd_closep) int file = unpack_open_file(fd, "manifest.json");

	if (file < 0)
		return false;
	ssize_t size = io_read_full(file, start, sizeof(start) - 1);
	start[MAX(size, 0)] = '\0';
	return start[strspn(start, " \t\r\n")] == '[';
}

bool oci_is_layout(int fd)
{
	return (has_file(fd, "oci-layout") && has_file(fd, "index.json")) || is_docker(fd);
}

int oci_read(int fd, const char *tag, struct strbuf *message, struct oci *ret_oci)
{
	struct oci oci = {0};
	struct reader reader = {.fd = fd, .tag = tag, .message = message, .oci = &oci};
	/* Docker's own newer archives are both, and only the older part has the names. */
	int r = is_docker(fd) ? read_docker(&reader) : read_oci(&reader);
	char ***lists[] = {&oci.layers, &oci.config.environment, &oci.config.command,
			   &oci.config.names};

	for (size_t i = 0; r == 0 && i < ARRAY_COUNT(lists); i++)
		r = list_make(lists[i]);
	if (r < 0) {
		oci_finish(&oci);
		return r;
	}
	*ret_oci = oci;
	return 0;
}
