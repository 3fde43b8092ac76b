#include "secrets/trust.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/cleanup.h"

#define STORES_MAX 4 /* the machine's, those of AWS, those of Vault */

struct trusted {
	const char *pem; /* borrowed: whose store it is; NULL: the machine's */
	X509_STORE *store;
	bool is_whole;
};

static struct {
	const char *bundle,
		*folder; /* of the machine, where libcurl was built to look; NULL: none */
	struct trusted stores[STORES_MAX];
	size_t n;
} trust;

/* Whether the folder has certificates by the hash of their names, as c_rehash(1) makes it. */
static bool has_hashes(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		size_t n = strspn(entry->d_name, "0123456789abcdef");
		found = n == 8 && entry->d_name[8] == '.' &&
			isdigit((unsigned char)entry->d_name[9]);
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

void trust_init(void)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	trust.bundle = info->cainfo;
	trust.folder = info->capath && has_hashes(info->capath) ? info->capath : NULL;
}

void trust_finish(void)
{
	for (size_t i = 0; i < trust.n; i++)
		X509_STORE_free(trust.stores[i].store);
	trust.n = 0;
}

static bool add_pem(X509_STORE *store, const char *pem, size_t length)
{
	BIO *bio = length <= INT32_MAX ? BIO_new_mem_buf(pem, (int)length) : NULL;
	STACK_OF(X509_INFO) *list = bio ? PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL) : NULL;
	int n = 0;

	for (int i = 0; i < sk_X509_INFO_num(list); i++) {
		const X509_INFO *info = sk_X509_INFO_value(list, i);
		if (info->x509)
			n += X509_STORE_add_cert(store, info->x509);
		if (info->crl)
			(void)X509_STORE_add_crl(store, info->crl);
	}
	sk_X509_INFO_pop_free(list, X509_INFO_free);
	BIO_free(bio);
	/* Beside certificates there may be what is none: that is not what a handshake fails for. */
	ERR_clear_error();
	return n > 0;
}

static bool add_bundle(X509_STORE *store)
{
	bool is_read = trust.bundle && X509_STORE_load_file(store, trust.bundle) == 1;

	ERR_clear_error();
	return is_read;
}

static bool fill(struct trusted *trusted, size_t length)
{
	X509_STORE *store = trusted->store;

	/* As libcurl has it: an intermediate that is trusted is an end as good as a root. */
	if (X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN) != 1)
		return false;
	if (trusted->pem) {
		trusted->is_whole = true;
		return add_pem(store, trusted->pem, length);
	}
	if (trust.folder && X509_STORE_load_path(store, trust.folder) == 1)
		return true;
	trusted->is_whole = true;
	(void)add_bundle(store);
	return true;
}

static struct trusted *find(const char *ca_pem)
{
	for (size_t i = 0; i < trust.n; i++) {
		if (trust.stores[i].pem == ca_pem)
			return &trust.stores[i];
	}
	return NULL;
}

static struct trusted *make(const char *ca_pem, size_t length)
{
	if (trust.n == STORES_MAX)
		return NULL;
	struct trusted *fresh = &trust.stores[trust.n];
	*fresh = (struct trusted){.pem = ca_pem, .store = X509_STORE_new()};
	if (!fresh->store)
		return NULL;
	if (!fill(fresh, length)) {
		X509_STORE_free(fresh->store);
		return NULL;
	}
	trust.n++;
	return fresh;
}

X509_STORE *trust_store(const char *ca_pem, size_t length)
{
	struct trusted *trusted = find(ca_pem);

	if (!trusted)
		trusted = make(ca_pem, length);
	return trusted ? trusted->store : NULL;
}

bool trust_is_whole(const char *ca_pem)
{
	const struct trusted *trusted = find(ca_pem);

	return !trusted || trusted->is_whole;
}

bool trust_widen(const char *ca_pem)
{
	struct trusted *trusted = find(ca_pem);

	if (!trusted)
		return false;
	/* Another connection of the same round has read it: this one was checked without. */
	if (trusted->is_whole)
		return true;
	trusted->is_whole = true;
	return add_bundle(trusted->store);
}
