#pragma once
/*
 * Readers of values that mean something to units alone; the target's type behind each.
 */
#include "units/directive.h"

/* parse_service.c */
void parse_relation(const struct parse *parse, void *target); /* struct relations; argument: type */
void parse_exec(const struct parse *parse, void *target);     /* struct exec_lines */
void parse_type(const struct parse *parse, void *target);     /* uint32_t */
void parse_restart(const struct parse *parse, void *target);  /* uint32_t */
void parse_timeout_both(const struct parse *parse, void *target); /* struct unit */
void parse_watchdog(const struct parse *parse, void *target);	  /* uint64_t */
void parse_statuses(const struct parse *parse, void *target);	  /* struct plan_status_set */
void parse_action(const struct parse *parse,
		  void *target); /* uint32_t; argument: a bool's offset */
void parse_action_status(const struct parse *parse, void *target);	 /* uint32_t */
void parse_notify_access(const struct parse *parse, void *target);	 /* uint32_t */
void parse_restart_kill_signal(const struct parse *parse, void *target); /* uint32_t */
void parse_check_only(const struct parse *parse, void *target);		 /* nothing: ExecReload= */

/* parse_execution.c */
void parse_environment(const struct parse *parse, void *target);      /* struct settings */
void parse_environment_file(const struct parse *parse, void *target); /* struct settings */
void parse_capabilities(const struct parse *parse, void *target); /* uint64_t; argument: the flag */
void parse_limit(const struct parse *parse, void *target); /* struct limit; argument: RLIMIT_… */
void parse_directories(const struct parse *parse, void *target);       /* struct settings */
void parse_preserve(const struct parse *parse, void *target);	       /* uint32_t */
void parse_tmpfs(const struct parse *parse, void *target);	       /* struct scratches */
void parse_credential(const struct parse *parse, void *target);	       /* struct secrets */
void parse_working_directory(const struct parse *parse, void *target); /* struct setting */
void parse_nice(const struct parse *parse, void *target);	       /* int32_t */
void parse_oom_score(const struct parse *parse, void *target);	       /* int32_t */
void parse_output(const struct parse *parse, void *target);	  /* uint32_t; argument: the flag */
void parse_dynamic_user(const struct parse *parse, void *target); /* bool */
/* "size=64M,mode=0750,nr_inodes=1k,exec" into *ret_scratch; false after an error was said. */
bool parse_scratch_options(const struct parse *parse, const char *options, size_t offset,
			   struct scratch *ret_scratch);

/* parse_resource.c */
void parse_memory(const struct parse *parse, void *target);	/* const char *: NULL, text */
void parse_tasks(const struct parse *parse, void *target);	/* the same */
void parse_weight(const struct parse *parse, void *target);	/* the same */
void parse_oom_policy(const struct parse *parse, void *target); /* the same */
void parse_cpu_quota(const struct parse *parse, void *target);	/* uint32_t: percent, 0 none */
void parse_cpu_period(const struct parse *parse, void *target); /* uint32_t: us, 0 default */

/* parse_paths.c */
void parse_allowed_paths(const struct parse *parse, void *target); /* struct allowed_paths */

/* parse_condition.c; data: its row */
void parse_condition(const struct parse *parse, void *target); /* struct conditions */

/* parse_socket.c */
void parse_listen(const struct parse *parse, void *target); /* struct listeners; argument: SOCK_… */
void parse_accept(const struct parse *parse, void *target); /* nothing */
/* 127.0.0.1:80, [::1]:80: whether text is an address with a port. */
bool parse_is_address(const char *text);

/* parse_holdfast.c */
void parse_secret(const struct parse *parse, void *target); /* struct secrets; argument: delivery */
void parse_config(const struct parse *parse, void *target); /* struct secrets */
void parse_secret_path(const struct parse *parse, void *target);   /* nothing: an error for now */
void parse_drain(const struct parse *parse, void *target);	   /* uint64_t */
void parse_on_change(const struct parse *parse, void *target);	   /* nothing */
void parse_refresh(const struct parse *parse, void *target);	   /* nothing */
void parse_sandbox_allow(const struct parse *parse, void *target); /* uint32_t: bits */
void parse_http_get(const struct parse *parse, void *target);	   /* struct probe */
void parse_tcp_socket(const struct parse *parse, void *target);	   /* struct probe */
void parse_probe_exec(const struct parse *parse, void *target);	   /* struct probe */

/* parse_template.c; the key is the target's name */
void parse_template(const struct parse *parse, void *target); /* struct templates */

/* The lines of an exec value that start the program itself; false after an error was said. */
bool parse_commands(const struct parse *parse, struct exec_lines *lines);
