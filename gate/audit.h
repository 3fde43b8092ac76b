#pragma once
/*
 * A record of the kernel's audit about a system call that a filter refused (type 1326, kernel/auditsc.c):
 *
 *   audit(1795307136.286:1748): auid=… uid=0 gid=0 ses=… pid=1056 comm="nginx" exe="/usr/sbin/nginx"
 *   sig=0 arch=c000003e syscall=101 compat=0 ip=0x7f9c1bdd1829 code=0x50000
 *
 * The kernel wrote it, but comm and exe are the process's own bytes: in quotes, or, where one of them is
 * no printable character or a quote, all of them in hexadecimal.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_EXE_MAX 256

struct audit_refusal {
	int32_t pid; /* as the first PID namespace counts */
	uint32_t uid;
	uint32_t arch; /* AUDIT_ARCH_… */
	uint32_t number;
	uint32_t action; /* SECCOMP_RET_… */
	char comm[16];	 /* both to be trusted as little as any name, and cut where they are long */
	char exe[AUDIT_EXE_MAX];
};

/* 0; -EBADMSG: it is no such record. text is not changed and needs no end. */
int audit_parse(const char *text, size_t length, struct audit_refusal *ret_refusal);
