#pragma once
/*
 * Conditions whose answer cannot change while the instance lives: decided once, at boot.
 */
#include <stdbool.h>
#include <stdint.h>

#include "units/unit.h"

/* Answers, each for the parameter of its Condition…=. */
bool host_is_architecture(struct units *units, const char *parameter);
bool host_is_hostname(struct units *units, const char *parameter);
bool host_has_kernel_argument(struct units *units, const char *parameter);
bool host_has_environment(struct units *units, const char *parameter);
bool host_has_credential(struct units *units, const char *parameter);
bool host_has_capability(struct units *units, const char *parameter);
bool host_has_path_glob(struct units *units, const char *parameter);
bool host_has_controllers(struct units *units, const char *parameter);
bool host_is_root_user(struct units *units, const char *parameter);
bool host_is_never(struct units *units, const char *parameter);
bool host_is_always(struct units *units, const char *parameter);
bool host_is_kernel(struct units *units, const char *parameter);
bool host_has_memory(struct units *units, const char *parameter);
bool host_has_cpus(struct units *units, const char *parameter);

/* Of what they are made: the text of a small file ("" where there is none), whether a path is there, and the value
 * of a variable of holdfast's environment, or NULL. */
const char *host_read_text(struct units *units, const char *path);
bool host_has_path(struct units *units, const char *path);
const char *host_variable(struct units *units, const char *name);

/* How many tasks the kernel and the container's cgroup let be; UINT64_MAX: nobody says. */
uint64_t host_tasks_max(struct units *units);
