#include "secrets/certificate.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* A chain has a few: somebody who sends a thousand gets no more than that. */
#define CERTIFICATES_MAX 32

static int64_t end_of(const X509 *certificate)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
		return 0;
	time_t end = timegm(&tm);
	return end < 0 ? 0 : end;
}

/* A key that stands in front of or between certificates is passed over without being read. */
static X509 *next_certificate(BIO *bio)
{
	static const char nothing[] = "";

	return PEM_read_bio_X509(bio, NULL, NULL, (void *)(uintptr_t)nothing);
}

int64_t certificate_expiry(const char *value, size_t length)
{
	static const char mark[] = "-----BEGIN CERTIFICATE-----";
	int64_t first = 0;
	X509 *certificate;

	if (length > INT_MAX || !memmem(value, length, mark, sizeof(mark) - 1))
		return 0;
	BIO *bio = BIO_new_mem_buf(value, (int)length);
	for (int i = 0; bio && i < CERTIFICATES_MAX && (certificate = next_certificate(bio)); i++) {
		int64_t end = end_of(certificate);
		if (end > 0 && (first == 0 || end < first))
			first = end;
		X509_free(certificate);
	}
	BIO_free(bio);
	ERR_clear_error();
	return first;
}
