#include "secrets/vaultconf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "secrets/secmem.h"
#include "secrets/shared.h"
#include "secrets/vaultref.h"

#define PEM_MAX		 (1U << 20)
#define CA_FILES_MAX	 512
#define ATTEMPTS_MAX	 20
#define KUBERNETES_TOKEN "/var/run/secrets/kubernetes.io/serviceaccount/token"

const char *const vault_auth_names[VAULT_AUTH_COUNT] = {
	[VAULT_AUTH_NONE] = "none",	  [VAULT_AUTH_TOKEN] = "token",
	[VAULT_AUTH_APPROLE] = "approle", [VAULT_AUTH_KUBERNETES] = "kubernetes",
	[VAULT_AUTH_JWT] = "jwt",	  [VAULT_AUTH_AWS] = "aws",
	[VAULT_AUTH_CERT] = "cert",
};

/* All of a file of at most max bytes, NUL-ended, as memory to be wiped. what: for messages. */
static enum secret_outcome read_file(const char *path, const char *what, size_t max,
				     char **ret_text, struct strbuf *why)
{
	size_t length;

	strbuf_addf(why, "%s ", what);
	*ret_text = remote_read_file(path, max, &length, why);
	if (!*ret_text)
		return access(path, F_OK) < 0 ? SECRET_NOT_FOUND : SECRET_DENIED;
	strbuf_reset(why);
	return SECRET_OK;
}

/* A token, as one line: what stands around it is not part of it, what is inside must be printable. */
static bool trim_token(char *text)
{
	size_t length = strlen(text), first = strspn(text, " \t\r\n");

	while (length > first && strchr(" \t\r\n", text[length - 1]))
		text[--length] = '\0';
	memmove(text, text + first, length - first + 1);
	for (const unsigned char *at = (unsigned char *)text; *at; at++) {
		if (*at <= ' ' || *at >= 0x7F)
			return false;
	}
	return text[0] != '\0';
}

static enum secret_outcome read_credential(struct vault_conf *conf, const char *path,
					   const char *what, struct strbuf *why)
{
	enum secret_outcome outcome =
		read_file(path, what, VAULT_TOKEN_MAX, &conf->credential, why);

	if (outcome != SECRET_OK)
		return outcome;
	if (trim_token(conf->credential))
		return SECRET_OK;
	secmem_free(conf->credential);
	conf->credential = NULL;
	strbuf_addf(why, "%s %s: one line of printable characters was expected", what, path);
	return SECRET_MALFORMED;
}

static enum secret_outcome take_variable(struct vault_conf *conf, const char *value,
					 const char *name, struct strbuf *why)
{
	conf->credential = strlen(value) > VAULT_TOKEN_MAX ? NULL : secmem_strdup(value);
	if (conf->credential && trim_token(conf->credential))
		return SECRET_OK;
	secmem_free(conf->credential);
	conf->credential = NULL;
	strbuf_addf(why, "%s: one word of printable characters was expected", name);
	return SECRET_MALFORMED;
}

/* A file wins over a variable: it is what can be rotated. */
static enum secret_outcome find_credential(struct vault_conf *conf, const struct run *run,
					   const char *file_setting, const char *variable,
					   const char *what, struct strbuf *why)
{
	const char *path = run_setting(run, file_setting);
	const char *value = variable ? run_variable(run, variable) : NULL;

	if (path)
		return read_credential(conf, path, what, why);
	if (value && value[0] != '\0')
		return take_variable(conf, value, variable, why);
	return SECRET_OK;
}

/* ---- what each way of logging in needs */

static enum secret_outcome need(const struct vault_conf *conf, bool is_there, const char *what,
				struct strbuf *why)
{
	if (is_there)
		return SECRET_OK;
	strbuf_addf(why, "Vault's %s authentication wants %s", vault_auth_names[conf->auth], what);
	return SECRET_MALFORMED;
}

static enum secret_outcome read_token(struct vault_conf *conf, const struct run *run,
				      struct strbuf *why)
{
	enum secret_outcome outcome = find_credential(conf, run, "HOLDFAST_VAULT_TOKEN_FILE",
						      "VAULT_TOKEN", "the token file", why);

	return outcome != SECRET_OK
		       ? outcome
		       : need(conf, conf->credential != NULL,
			      "VAULT_TOKEN in the environment or VaultTokenFile=", why);
}

static enum secret_outcome read_approle(struct vault_conf *conf, const struct run *run,
					struct strbuf *why)
{
	enum secret_outcome outcome =
		find_credential(conf, run, "HOLDFAST_VAULT_SECRET_ID_FILE",
				"HOLDFAST_VAULT_SECRET_ID", "the secret_id file", why);

	if (outcome == SECRET_OK)
		outcome = need(conf, conf->role_id != NULL, "VaultRoleId=", why);
	if (outcome == SECRET_OK && conf->is_wrapped)
		outcome = need(conf, conf->credential != NULL,
			       "VaultSecretIdFile=, since VaultWrapped= says that it is wrapped",
			       why);
	return outcome;
}

static enum secret_outcome read_kubernetes(struct vault_conf *conf, const struct run *run,
					   struct strbuf *why)
{
	const char *path = run_setting(run, "HOLDFAST_VAULT_JWT_FILE");
	enum secret_outcome outcome = need(conf, conf->role != NULL, "VaultRole=", why);

	return outcome != SECRET_OK ? outcome
				    : read_credential(conf, path ? path : KUBERNETES_TOKEN,
						      "the service account's token", why);
}

static enum secret_outcome read_jwt(struct vault_conf *conf, const struct run *run,
				    struct strbuf *why)
{
	const char *path = run_setting(run, "HOLDFAST_VAULT_JWT_FILE");
	enum secret_outcome outcome = need(conf, path != NULL, "VaultJwtFile=", why);

	return outcome != SECRET_OK ? outcome : read_credential(conf, path, "the JWT", why);
}

static enum secret_outcome read_aws(struct vault_conf *conf, const struct run *run,
				    struct strbuf *why)
{
	(void)run;
	return need(conf, conf->role != NULL, "VaultRole=", why);
}

static enum secret_outcome read_cert(struct vault_conf *conf, const struct run *run,
				     struct strbuf *why)
{
	(void)run;
	return need(conf, conf->certificate != NULL, "VaultClientCert= and VaultClientKey=", why);
}

static enum secret_outcome read_none(struct vault_conf *conf, const struct run *run,
				     struct strbuf *why)
{
	(void)conf;
	(void)run;
	(void)why;
	return SECRET_OK;
}

static enum secret_outcome (*const auth_readers[VAULT_AUTH_COUNT])(struct vault_conf *conf,
								   const struct run *run,
								   struct strbuf *why) = {
	[VAULT_AUTH_NONE] = read_none,	     [VAULT_AUTH_TOKEN] = read_token,
	[VAULT_AUTH_APPROLE] = read_approle, [VAULT_AUTH_KUBERNETES] = read_kubernetes,
	[VAULT_AUTH_JWT] = read_jwt,	     [VAULT_AUTH_AWS] = read_aws,
	[VAULT_AUTH_CERT] = read_cert,
};

static enum secret_outcome read_auth(struct vault_conf *conf, const struct run *run,
				     struct strbuf *why)
{
	const char *name = run_setting(run, "HOLDFAST_VAULT_AUTH");
	unsigned auth = VAULT_AUTH_TOKEN;

	if (name) {
		for (auth = 0; auth < VAULT_AUTH_COUNT; auth++) {
			if (str_equal(name, vault_auth_names[auth]))
				break;
		}
	}
	if (auth == VAULT_AUTH_COUNT) {
		strbuf_addf(why,
			    "VaultAuth=%s: token, approle, kubernetes, jwt, aws, cert or none "
			    "was expected",
			    name);
		return SECRET_MALFORMED;
	}
	conf->auth = (enum vault_auth)auth;
	conf->mount = run_setting(run, "HOLDFAST_VAULT_AUTH_MOUNT");
	if (!conf->mount)
		conf->mount = vault_auth_names[auth];
	if (!vaultref_check_path(conf->mount, "VaultAuthMount=", why))
		return SECRET_MALFORMED;
	conf->role = run_setting(run, "HOLDFAST_VAULT_ROLE");
	conf->role_id = run_setting(run, "HOLDFAST_VAULT_ROLE_ID");
	conf->server_id = run_setting(run, "HOLDFAST_VAULT_IAM_SERVER_ID");
	conf->is_wrapped = run_setting_is_true(run, "HOLDFAST_VAULT_WRAPPED");
	conf->wrapped_path = run_setting(run, "HOLDFAST_VAULT_WRAPPED_PATH");
	struct strbuf auth_why;
	strbuf_init(&auth_why, conf->auth_why, sizeof(conf->auth_why));
	conf->auth_outcome = auth_readers[auth](conf, run, &auth_why);
	return SECRET_OK;
}

/* ---- TLS */

static size_t add_ca_files(DIR *directory, char *all)
{
	size_t used = 0;
	int files = 0;

	for (const struct dirent *entry; files < CA_FILES_MAX && (entry = readdir(directory));) {
		if (entry->d_name[0] == '.')
			continue;
		ssize_t n =
			io_read_file(dirfd(directory), entry->d_name, all + used, PEM_MAX - used);
		if (n <= 0)
			continue;
		used += (size_t)n;
		all[used++] = '\n';
		files++;
	}
	all[used] = '\0';
	return used;
}

/* All files of a directory behind each other, as c_rehash leaves them: links are followed. */
static enum secret_outcome read_ca_directory(struct vault_conf *conf, const char *path,
					     struct strbuf *why)
{
	DIR *directory = opendir(path);
	size_t used = 0;

	conf->ca = secmem_zalloc(1, PEM_MAX + 2);
	if (directory && conf->ca)
		used = add_ca_files(directory, conf->ca);
	if (directory)
		(void)closedir(directory);
	if (used > 0)
		return SECRET_OK;
	strbuf_addf(why, "VaultCaPath=%s has no certificate that can be read", path);
	return SECRET_NOT_FOUND;
}

static enum secret_outcome read_pem(const struct run *run, const char *setting, const char *what,
				    char **ret_text, struct strbuf *why)
{
	const char *path = run_setting(run, setting);

	return path ? read_file(path, what, PEM_MAX, ret_text, why) : SECRET_OK;
}

/*
 * Who was refused and who was not must be as plain as the address: only the image's own file can
 * switch the check off, and a variable of the environment that asks for it is an error, not ignored.
 */
static enum secret_outcome read_skip_verify(struct vault_conf *conf, const struct run *run,
					    struct strbuf *why)
{
	if (!run_setting_is_true(run, "VAULT_SKIP_VERIFY"))
		return SECRET_OK;
	if (!secretrequest_find_setting(&run->request, "VAULT_SKIP_VERIFY")) {
		strbuf_adds(why,
			    "VAULT_SKIP_VERIFY is set in the environment: only "
			    "VaultSkipVerify=yes of the image's own holdfast.conf may switch "
			    "the check of Vault's certificate off; give its CA by VaultCaFile= "
			    "instead");
		return SECRET_MALFORMED;
	}
	conf->tls.is_unverified = true;
	return SECRET_OK;
}

static enum secret_outcome read_tls(struct vault_conf *conf, const struct run *run,
				    struct strbuf *why)
{
	const char *ca_directory = run_setting(run, "VAULT_CAPATH");
	enum secret_outcome outcome =
		read_pem(run, "VAULT_CACERT", "the CA file (VaultCaFile=)", &conf->ca, why);

	if (outcome == SECRET_OK && !conf->ca && ca_directory)
		outcome = read_ca_directory(conf, ca_directory, why);
	if (outcome == SECRET_OK)
		outcome = read_pem(run, "VAULT_CLIENT_CERT", "the client's certificate",
				   &conf->certificate, why);
	if (outcome == SECRET_OK)
		outcome = read_pem(run, "VAULT_CLIENT_KEY", "the client's key", &conf->key, why);
	if (outcome == SECRET_OK && !conf->certificate != !conf->key) {
		strbuf_adds(why, "VaultClientCert= and VaultClientKey= go together");
		outcome = SECRET_MALFORMED;
	}
	if (outcome != SECRET_OK)
		return outcome;
	conf->tls = (struct http_tls){
		.ca_pem = conf->ca,
		.ca_length = conf->ca ? strlen(conf->ca) : 0,
		.certificate_pem = conf->certificate,
		.certificate_length = conf->certificate ? strlen(conf->certificate) : 0,
		.key_pem = conf->key,
		.key_length = conf->key ? strlen(conf->key) : 0,
		.server_name = run_setting(run, "VAULT_TLS_SERVER_NAME"),
	};
	return read_skip_verify(conf, run, why);
}

/* ---- the rest */

static enum secret_outcome read_address(struct vault_conf *conf, const struct run *run,
					struct strbuf *why)
{
	const char *address = run_setting(run, "VAULT_ADDR");

	if (!address) {
		strbuf_adds(why, "nothing says where Vault is: set VaultAddress= in [Secrets] of "
				 "holdfast.conf, or VAULT_ADDR");
		return SECRET_MALFORMED;
	}
	size_t length = strlen(address);
	while (length > 0 && address[length - 1] == '/')
		length--;
	if ((!str_starts(address, "https://") && !str_starts(address, "http://")) ||
	    length >= sizeof(conf->address) || strpbrk(address, "@?# ")) {
		strbuf_adds(why, "VAULT_ADDR: https://HOST[:PORT][/PATH] without user, ? and # was "
				 "expected");
		return SECRET_MALFORMED;
	}
	memcpy(conf->address, address, length);
	conf->address[length] = '\0';
	return SECRET_OK;
}

static enum secret_outcome read_rest(struct vault_conf *conf, const struct run *run,
				     struct strbuf *why)
{
	const char *retries = run_setting(run, "VAULT_MAX_RETRIES");
	uint64_t number;

	conf->namespace = run_setting(run, "VAULT_NAMESPACE");
	if (conf->namespace && strpbrk(conf->namespace, "\r\n")) {
		strbuf_adds(why, "VAULT_NAMESPACE: one line was expected");
		return SECRET_MALFORMED;
	}
	if (!retries)
		return SECRET_OK;
	if (str_parse_u64(retries, ATTEMPTS_MAX - 1, &number) < 0) {
		strbuf_addf(why, "VAULT_MAX_RETRIES: a number up to %d was expected",
			    ATTEMPTS_MAX - 1);
		return SECRET_MALFORMED;
	}
	conf->attempts_max = (unsigned)number + 1;
	return SECRET_OK;
}

enum secret_outcome vault_conf_read(struct vault_conf *conf, const struct run *run,
				    struct strbuf *why)
{
	static enum secret_outcome (*const steps[])(struct vault_conf * conf, const struct run *run,
						    struct strbuf *why) = {
		read_address,
		read_rest,
		read_tls,
		read_auth,
	};
	enum secret_outcome outcome = SECRET_OK;

	*conf = (struct vault_conf){0};
	for (size_t i = 0; outcome == SECRET_OK && i < ARRAY_COUNT(steps); i++)
		outcome = steps[i](conf, run, why);
	return outcome;
}

void vault_conf_finish(struct vault_conf *conf)
{
	secmem_free(conf->credential);
	secmem_free(conf->ca);
	secmem_free(conf->certificate);
	secmem_free(conf->key);
	*conf = (struct vault_conf){0};
}
