#include "tests/support/ctlsample.h"

#include "lib/clock.h"
#include "tests/support/planbuild.h"

static void add_units(struct planbuild *build)
{
	static const char *const names[SAMPLE_COUNT] = {
		[SAMPLE_DB] = "db.service",	      [SAMPLE_WEB] = "web.service",
		[SAMPLE_MIGRATE] = "migrate.service", [SAMPLE_EXTRA] = "extra.service",
		[SAMPLE_PROBED] = "probed.service",
	};

	struct plan_probe *probe = planbuild_record(build, PLAN_PROBES, NULL);
	*probe = (struct plan_probe){.kind = PROBE_READINESS, .type = PROBE_TCP};

	for (int i = 0; i < SAMPLE_COUNT; i++) {
		struct plan_unit *unit = planbuild_unit(build, names[i], NULL);
		unit->flags |= i == SAMPLE_EXTRA ? 0 : UNIT_WANTED;
		if (i == SAMPLE_WEB)
			unit->flags |= UNIT_ESSENTIAL;
		if (i == SAMPLE_MIGRATE)
			unit->type = SERVICE_ONESHOT;
		if (i == SAMPLE_PROBED)
			unit->probes.count = 1;
	}
}

static struct plan_unit *unit_at(struct planbuild *build, int index)
{
	return (struct plan_unit *)build->records[PLAN_UNITS] + index;
}

static void add_secret(struct planbuild *build, const char *name, const char *reference,
		       uint32_t delivery, uint32_t flags)
{
	struct plan_secret *secret = planbuild_record(build, PLAN_SECRETS, NULL);

	secret->name = planbuild_text(build, name);
	secret->reference = planbuild_text(build, reference);
	secret->delivery = delivery;
	secret->flags = flags;
}

static void add_protection(struct planbuild *build, const char *name, uint32_t level,
			   const char *rung, const char *why)
{
	struct plan_protection *protection = planbuild_record(build, PLAN_PROTECTIONS, NULL);

	protection->name = planbuild_text(build, name);
	protection->level = level;
	protection->rung = planbuild_text(build, rung);
	protection->why = planbuild_text(build, why);
}

void ctlsample_plan(void **ret_block, size_t *ret_size)
{
	struct planbuild build;
	struct plan plan;
	const uint32_t db = SAMPLE_DB;

	planbuild_init(&build);
	build.header.flags |= PLAN_IS_PUBLIC;
	build.header.boot_wall_us = clock_wall_us();
	build.header.boot_us = clock_now_us();
	build.header.image_id = planbuild_text(&build, "shop");
	build.header.image_version = planbuild_text(&build, "2026.1");
	add_units(&build);
	unit_at(&build, SAMPLE_WEB)->relations[REL_REQUIRES] = planbuild_list(&build, &db, 1);
	unit_at(&build, SAMPLE_WEB)->relations[REL_AFTER] = planbuild_list(&build, &db, 1);
	unit_at(&build, SAMPLE_WEB)->secrets = (struct plan_range){0, 2};
	add_secret(&build, "DB_PASSWORD", "file:/run/pl4nted/path", SECRET_ENVIRONMENT, 0);
	add_secret(&build, "LOG_LEVEL", "", SECRET_ENVIRONMENT, SECRET_IS_CONFIG | SECRET_OPTIONAL);
	add_protection(&build, "root", PROTECTION_FULL, "read-only mount", "");
	add_protection(&build, "shells", PROTECTION_NONE, "none", "no CAP_SYS_ADMIN");
	struct plan_scratch *scratch = planbuild_record(&build, PLAN_SCRATCH, NULL);
	scratch->path = planbuild_text(&build, "/tmp");
	scratch->size_bytes = 1 << 20;
	build.header.scratch = (struct plan_range){0, 1};
	planbuild_finish(&build, ret_block, ret_size, &plan);
}
