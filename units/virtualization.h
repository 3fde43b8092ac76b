#pragma once
/*
 * ConditionVirtualization=: in what the kernel runs, and what runs in it, by the names of
 * systemd-detect-virt(1).
 */
#include <stdbool.h>

#include "units/unit.h"

#define VIRTUALIZATION_SIGNATURE 13 /* of a hypervisor, as the processor tells it, and NUL */

/* The answer for the condition's parameter. */
bool virtualization_matches(struct units *units, const char *parameter);

/* A word that the condition can ever be true for: a typing error otherwise. */
bool virtualization_is_known(const char *parameter);

/* The container's name, or NULL. */
const char *virtualization_container(struct units *units);

/* The virtual machine's, or NULL. signature: "" where no hypervisor tells of itself. */
const char *virtualization_machine(struct units *units, const char *signature);
