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
#include <stddef.h>

#include <openssl/x509.h>

/* Once, while all files can be seen. */
void trust_init(void);
void trust_finish(void);

/* The store of the CAs in ca_pem (NULL: the machine's), which is borrowed and tells the stores apart;
 * borrowed until trust_finish. NULL: there is no certificate in it, or no memory. */
X509_STORE *trust_store(const char *ca_pem, size_t length);
/* Whether all that there is of these CAs has been read, and so there is nothing left to be tried. */
bool trust_is_whole(const char *ca_pem);
/* Reads it. False: there is nothing more, or it cannot be read. */
bool trust_widen(const char *ca_pem);
