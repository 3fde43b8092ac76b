#pragma once
/*
 * holdfast.conf: the file, then what the environment and the command line say instead.
 */
#include "units/unit.h"

struct parse;

/* Reads it all into units->conf and units->public_conf. */
void conf_load(struct units *units);

/* A key of [Secrets] (units/conf_secrets.c). */
void conf_apply_secrets(const struct parse *parse);
/* What the helpers will take for a setting of that name: [Secrets], else the environment, else NULL.
 * Borrowed. */
const char *conf_secret_setting(const struct units *units, const char *name);
/* A key of [Sysctl] (units/conf_host.c). */
void conf_apply_sysctl(const struct parse *parse);
/* [Modules] Load= (units/conf_host.c): struct modules. */
void conf_parse_module(const struct parse *parse, void *target);
/* A key of [Network] (units/conf_network.c). */
void conf_apply_network(const struct parse *parse);
