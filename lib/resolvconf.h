#pragma once
/*
 * resolv.conf(5), as boot and holdfast-lease write it: whoever a name is asked of, and nothing else. The
 * words may come from a DHCP server, so a server is an address and a domain has no sign that could end
 * a line or begin another word.
 */
#include <stdbool.h>

#define RESOLVCONF_SERVERS_MAX 3 /* MAXNS and, before glibc 2.26, MAXDNSRCH */
#define RESOLVCONF_SEARCH_MAX  6
#define RESOLVCONF_SERVER_MAX  64 /* with its NUL: an address, of a link-local one %INTERFACE too */
#define RESOLVCONF_DOMAIN_MAX  254

/* Empty texts behind the last one. */
struct resolvconf {
	char servers[RESOLVCONF_SERVERS_MAX][RESOLVCONF_SERVER_MAX];
	char search[RESOLVCONF_SEARCH_MAX][RESOLVCONF_DOMAIN_MAX];
};

bool resolvconf_is_server(const char *text);
bool resolvconf_is_domain(const char *text);

/* Behind those that are there, unless it is one of them. False for what is none, and when it is full. */
bool resolvconf_add_server(struct resolvconf *conf, const char *text);
bool resolvconf_add_domain(struct resolvconf *conf, const char *text);

/* What is in the other one, as far as there is room. */
void resolvconf_merge(struct resolvconf *conf, const struct resolvconf *other);

/* Whether it is one that could have been built by the above: of memory from elsewhere. */
bool resolvconf_is_sound(const struct resolvconf *conf);

/* In place of the file at path, 0444, for every reader at once: by "path.new". 0 or -errno. */
int resolvconf_write(const char *path, const struct resolvconf *conf);
