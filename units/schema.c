/*
 * Three kinds of rows. Directives that are honoured name their reader and where the value goes.
 * Words that systemd knows and holdfast cannot honour are lists, by what is to be said: nothing,
 * where the meaning is kept anyway or there is none here; a warning, where a service would get less
 * than it asked for; another, where it is protection that it would not get. All else is unknown.
 */
#include "units/schema.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"
#include "units/condition.h"
#include "units/parsers.h"
#include "units/values.h"

#define FIELD(field) offsetof(struct unit, field)
#define PLAN(field)  offsetof(struct unit, plan.field)
#define WHOLE	     0

#define RELATION(key, type)                                               \
	{                                                                 \
		"Unit", key, parse_relation, FIELD(relations), type, NULL \
	}
#define EXEC(key, phase)                                                    \
	{                                                                   \
		"Service", key, parse_exec, FIELD(exec[phase]), phase, NULL \
	}
#define FLAG(key, flag)                                             \
	{                                                           \
		"Service", key, parse_flag, PLAN(flags), flag, NULL \
	}
#define LIMIT(key, resource)                                                         \
	{                                                                            \
		"Service", key, parse_limit, FIELD(limits[resource]), resource, NULL \
	}
#define RESOURCE(key, parser, resource)                                     \
	{                                                                   \
		"Service", key, parser, FIELD(resources[resource]), 0, NULL \
	}
#define PATHS(key, which)                                                         \
	{                                                                         \
		"Service", key, parse_allowed_paths, FIELD(paths[which]), 0, NULL \
	}
#define FOLDER(key, type)                                                                         \
	{"Service", key "Directory", parse_directories, FIELD(directories[type]), 0, NULL},       \
	{                                                                                         \
		"Service", key "DirectoryMode", parse_mode, FIELD(directory_modes[type]), 0, NULL \
	}

static const struct directive directives[] = {
	{"Unit", "Description", parse_text, FIELD(description), 0, NULL},
	RELATION("Requires", REL_REQUIRES),
	RELATION("RequiresOverridable", REL_REQUIRES),
	RELATION("Requisite", REL_REQUISITE),
	RELATION("RequisiteOverridable", REL_REQUISITE),
	RELATION("Wants", REL_WANTS),
	RELATION("Upholds", REL_WANTS),
	RELATION("BindsTo", REL_BINDS_TO),
	RELATION("BindTo", REL_BINDS_TO),
	RELATION("PartOf", REL_PART_OF),
	RELATION("Conflicts", REL_CONFLICTS),
	RELATION("Before", REL_BEFORE),
	RELATION("After", REL_AFTER),
	RELATION("OnFailure", REL_ON_FAILURE),
	RELATION("OnSuccess", REL_ON_SUCCESS),
	{"Unit", "DefaultDependencies", parse_answer, FIELD(default_dependencies), 0, NULL},
	{"Unit", "StartLimitIntervalSec", parse_span, PLAN(start_limit_interval_us), 0, NULL},
	{"Unit", "StartLimitInterval", parse_span, PLAN(start_limit_interval_us), 0, NULL},
	{"Unit", "StartLimitBurst", parse_number, PLAN(start_limit_burst), 0, NULL},
	{"Unit", "FailureAction", parse_action, PLAN(failure_action), FIELD(has_failure_action),
	 NULL},
	{"Unit", "SuccessAction", parse_action, PLAN(success_action), FIELD(has_success_action),
	 NULL},
	{"Unit", "FailureActionExitStatus", parse_action_status, PLAN(failure_status), 0, NULL},
	{"Unit", "SuccessActionExitStatus", parse_action_status, PLAN(success_status), 0, NULL},

	{"Service", "Type", parse_type, PLAN(type), 0, NULL},
	EXEC("ExecCondition", EXEC_CONDITION),
	EXEC("ExecStartPre", EXEC_START_PRE),
	EXEC("ExecStart", EXEC_START),
	EXEC("ExecStartPost", EXEC_START_POST),
	EXEC("ExecStop", EXEC_STOP),
	EXEC("ExecStopPost", EXEC_STOP_POST),
	{"Service", "ExecReload", parse_check_only, WHOLE, 0, NULL},
	FLAG("RemainAfterExit", UNIT_REMAIN_AFTER_EXIT),
	FLAG("PermissionsStartOnly", UNIT_PERMISSIONS_START_ONLY),
	FLAG("RootDirectoryStartOnly", UNIT_ROOT_DIRECTORY_START_ONLY),
	FLAG("SendSIGKILL", UNIT_SEND_SIGKILL),
	FLAG("SendSIGHUP", UNIT_SEND_SIGHUP),
	FLAG("IgnoreSIGPIPE", UNIT_IGNORE_SIGPIPE),
	FLAG("NoNewPrivileges", UNIT_NO_NEW_PRIVILEGES),
	FLAG("PrivateTmp", UNIT_PRIVATE_TMP),
	{"Service", "Restart", parse_restart, PLAN(restart), RESTART_COUNT, restart_policy_names},
	{"Service", "RestartSec", parse_span, PLAN(restart_us), 0, NULL},
	{"Service", "RestartMaxDelaySec", parse_span, PLAN(restart_max_us), 0, NULL},
	{"Service", "StartLimitInterval", parse_span, PLAN(start_limit_interval_us), 0, NULL},
	{"Service", "StartLimitBurst", parse_number, PLAN(start_limit_burst), 0, NULL},
	{"Service", "FailureAction", parse_action, PLAN(failure_action), FIELD(has_failure_action),
	 NULL},
	{"Service", "TimeoutSec", parse_timeout_both, WHOLE, 0, NULL},
	{"Service", "TimeoutStartSec", parse_timeout, PLAN(timeout_start_us),
	 FIELD(has_start_timeout), NULL},
	{"Service", "TimeoutStopSec", parse_timeout, PLAN(timeout_stop_us), FIELD(has_stop_timeout),
	 NULL},
	{"Service", "TimeoutAbortSec", parse_timeout, PLAN(timeout_abort_us),
	 FIELD(has_abort_timeout), NULL},
	{"Service", "RuntimeMaxSec", parse_timeout, PLAN(runtime_max_us), 0, NULL},
	{"Service", "WatchdogSec", parse_watchdog, PLAN(watchdog_us), 0, NULL},
	{"Service", "KillMode", parse_enum, PLAN(kill_mode), KILL_MODE_COUNT, kill_mode_names},
	{"Service", "KillSignal", parse_signal, PLAN(kill_signal), 0, NULL},
	{"Service", "RestartKillSignal", parse_restart_kill_signal, PLAN(restart_kill_signal), 0,
	 NULL},
	{"Service", "FinalKillSignal", parse_signal, PLAN(final_kill_signal), 0, NULL},
	{"Service", "WatchdogSignal", parse_signal, PLAN(watchdog_signal), 0, NULL},
	{"Service", "NotifyAccess", parse_notify_access, PLAN(notify_access), NOTIFY_ACCESS_COUNT,
	 notify_access_names},
	{"Service", "PIDFile", parse_setting, FIELD(pid_file), 0, NULL},
	{"Service", "BusName", parse_setting, FIELD(bus_name), 0, NULL},
	{"Service", "Sockets", parse_list, FIELD(sockets), 0, NULL},
	{"Service", "SuccessExitStatus", parse_statuses, FIELD(statuses.success), 0, NULL},
	{"Service", "RestartPreventExitStatus", parse_statuses, FIELD(statuses.restart_prevent), 0,
	 NULL},
	{"Service", "RestartForceExitStatus", parse_statuses, FIELD(statuses.restart_force), 0,
	 NULL},

	{"Service", "User", parse_setting, FIELD(user), 0, NULL},
	{"Service", "Group", parse_setting, FIELD(group), 0, NULL},
	{"Service", "SupplementaryGroups", parse_list, FIELD(groups), 0, NULL},
	{"Service", "DynamicUser", parse_dynamic_user, FIELD(has_dynamic_user), 0, NULL},
	{"Service", "WorkingDirectory", parse_working_directory, FIELD(working_directory), 0, NULL},
	{"Service", "RootDirectory", parse_path, FIELD(root_directory), 0, NULL},
	{"Service", "Environment", parse_environment, FIELD(environment), 0, NULL},
	{"Service", "EnvironmentFile", parse_environment_file, FIELD(environment_files), 0, NULL},
	{"Service", "PassEnvironment", parse_list, FIELD(pass_environment), 0, NULL},
	{"Service", "UnsetEnvironment", parse_list, FIELD(unset_environment), 0, NULL},
	{"Service", "UMask", parse_mode, PLAN(umask), 0, NULL},
	{"Service", "Nice", parse_nice, PLAN(nice), 0, NULL},
	{"Service", "OOMScoreAdjust", parse_oom_score, PLAN(oom_score_adjust), 0, NULL},
	{"Service", "StandardInput", parse_setting, FIELD(input), 0, NULL},
	{"Service", "StandardOutput", parse_output, PLAN(flags), UNIT_OUTPUT_NULL, NULL},
	{"Service", "StandardError", parse_output, PLAN(flags), UNIT_ERROR_NULL, NULL},
	{"Service", "AmbientCapabilities", parse_capabilities, PLAN(ambient_capabilities),
	 UNIT_AMBIENT, NULL},
	{"Service", "CapabilityBoundingSet", parse_capabilities, PLAN(bounding_capabilities),
	 UNIT_BOUNDING, NULL},
	RESOURCE("MemoryMin", parse_memory, RESOURCE_MEMORY_MIN),
	RESOURCE("MemoryLow", parse_memory, RESOURCE_MEMORY_LOW),
	RESOURCE("MemoryHigh", parse_memory, RESOURCE_MEMORY_HIGH),
	RESOURCE("MemoryMax", parse_memory, RESOURCE_MEMORY_MAX),
	RESOURCE("MemorySwapMax", parse_memory, RESOURCE_MEMORY_SWAP_MAX),
	RESOURCE("OOMPolicy", parse_oom_policy, RESOURCE_MEMORY_OOM_GROUP),
	RESOURCE("TasksMax", parse_tasks, RESOURCE_PIDS_MAX),
	RESOURCE("CPUWeight", parse_weight, RESOURCE_CPU_WEIGHT),
	RESOURCE("IOWeight", parse_weight, RESOURCE_IO_WEIGHT),
	{"Service", "CPUQuota", parse_cpu_quota, FIELD(cpu_percent), 0, NULL},
	{"Service", "CPUQuotaPeriodSec", parse_cpu_period, FIELD(cpu_period_us), 0, NULL},
	LIMIT("LimitCPU", RLIMIT_CPU),
	LIMIT("LimitFSIZE", RLIMIT_FSIZE),
	LIMIT("LimitDATA", RLIMIT_DATA),
	LIMIT("LimitSTACK", RLIMIT_STACK),
	LIMIT("LimitCORE", RLIMIT_CORE),
	LIMIT("LimitRSS", RLIMIT_RSS),
	LIMIT("LimitNOFILE", RLIMIT_NOFILE),
	LIMIT("LimitAS", RLIMIT_AS),
	LIMIT("LimitNPROC", RLIMIT_NPROC),
	LIMIT("LimitMEMLOCK", RLIMIT_MEMLOCK),
	LIMIT("LimitLOCKS", RLIMIT_LOCKS),
	LIMIT("LimitSIGPENDING", RLIMIT_SIGPENDING),
	LIMIT("LimitMSGQUEUE", RLIMIT_MSGQUEUE),
	LIMIT("LimitNICE", RLIMIT_NICE),
	LIMIT("LimitRTPRIO", RLIMIT_RTPRIO),
	LIMIT("LimitRTTIME", RLIMIT_RTTIME),
	FOLDER("Runtime", DIRECTORY_RUNTIME),
	FOLDER("State", DIRECTORY_STATE),
	FOLDER("Cache", DIRECTORY_CACHE),
	FOLDER("Logs", DIRECTORY_LOGS),
	FOLDER("Configuration", DIRECTORY_CONFIGURATION),
	{"Service", "RuntimeDirectoryPreserve", parse_preserve, FIELD(keep_runtime), 0, NULL},
	{"Service", "TemporaryFileSystem", parse_tmpfs, FIELD(scratch), 0, NULL},
	{"Service", "LoadCredential", parse_credential, FIELD(secrets), 0, NULL},
	PATHS("ExecPaths", PATHS_EXEC),
	PATHS("NoExecPaths", PATHS_NO_EXEC),
	PATHS("ReadWritePaths", PATHS_READ_WRITE),
	PATHS("ReadWriteDirectories", PATHS_READ_WRITE),
	PATHS("ReadOnlyPaths", PATHS_READ_ONLY),
	PATHS("ReadOnlyDirectories", PATHS_READ_ONLY),
	PATHS("InaccessiblePaths", PATHS_INACCESSIBLE),
	PATHS("InaccessibleDirectories", PATHS_INACCESSIBLE),

	{"Socket", "ListenStream", parse_listen, FIELD(listeners), SOCK_STREAM, NULL},
	{"Socket", "ListenDatagram", parse_listen, FIELD(listeners), SOCK_DGRAM, NULL},
	{"Socket", "ListenSequentialPacket", parse_listen, FIELD(listeners), SOCK_SEQPACKET, NULL},
	{"Socket", "SocketUser", parse_setting, FIELD(socket_user), 0, NULL},
	{"Socket", "SocketGroup", parse_setting, FIELD(socket_group), 0, NULL},
	{"Socket", "SocketMode", parse_mode, FIELD(socket_mode), 0, NULL},
	{"Socket", "Service", parse_setting, FIELD(socket_service), 0, NULL},
	{"Socket", "FileDescriptorName", parse_setting, FIELD(fd_name), 0, NULL},
	{"Socket", "Accept", parse_accept, WHOLE, 0, NULL},

	{"X-Holdfast", "Sandbox", parse_enum, FIELD(sandbox), UNIT_SANDBOX_COUNT,
	 unit_sandbox_names},
	{"X-Holdfast", "SandboxAllow", parse_sandbox_allow, PLAN(allowed_calls), 0, NULL},
	{"X-Holdfast", "Essential", parse_answer, FIELD(is_essential), 0, NULL},
	{"X-Holdfast", "DrainSec", parse_drain, PLAN(drain_us), 0, NULL},
	{"X-Holdfast", "Secret", parse_secret, FIELD(secrets), SECRET_ENVIRONMENT, NULL},
	{"X-Holdfast", "SecretFile", parse_secret, FIELD(secrets), SECRET_FILE, NULL},
	{"X-Holdfast", "SecretFd", parse_secret, FIELD(secrets), SECRET_FD, NULL},
	{"X-Holdfast", "SecretPath", parse_secret_path, FIELD(secrets), 0, NULL},
	{"X-Holdfast", "Config", parse_config, FIELD(secrets), 0, NULL},
	{"X-Holdfast", "OnChange", parse_on_change, FIELD(plan), 0, NULL},
	{"X-Holdfast", "Refresh", parse_refresh, FIELD(plan), 0, NULL},
};

static const struct directive probe_directives[] = {
	{"Probe", "HTTPGet", parse_http_get, 0, 0, NULL},
	{"Probe", "TCPSocket", parse_tcp_socket, 0, 0, NULL},
	{"Probe", "Exec", parse_probe_exec, 0, 0, NULL},
	{"Probe", "InitialDelaySec", parse_span, offsetof(struct probe, initial_delay_us), 0, NULL},
	{"Probe", "PeriodSec", parse_span, offsetof(struct probe, period_us), 0, NULL},
	{"Probe", "TimeoutSec", parse_span, offsetof(struct probe, timeout_us), 0, NULL},
	{"Probe", "FailureThreshold", parse_number, offsetof(struct probe, failure_threshold), 1,
	 NULL},
	{"Probe", "SuccessThreshold", parse_number, offsetof(struct probe, success_threshold), 1,
	 NULL},
};

static const char *const care_texts[SCHEMA_CARE_COUNT] = {
	[SCHEMA_NOT_HONOURED] = "known, but not honoured by holdfast",
	[SCHEMA_NOT_ENFORCED] = "not enforced yet: the unit runs without this protection",
};

/* Known words without a reader. */
static const struct known {
	const char *section;
	enum schema_care care;
	const char *words;
} known[] = {
	{"Unit", SCHEMA_HARMLESS,
	 "Documentation SourcePath RefuseManualStart RefuseManualStop AllowIsolate IgnoreOnIsolate "
	 "CollectMode PropagatesReloadTo PropagateReloadTo ReloadPropagatedFrom PropagateReloadFrom "
	 "OnFailureJobMode OnSuccessJobMode OnFailureIsolate RequiresMountsFor WantsMountsFor "
	 "RebootArgument JobTimeoutRebootArgument SurviveFinalKillSignal DebugInvocation"},
	{"Unit", SCHEMA_NOT_HONOURED,
	 "PropagatesStopTo StopPropagatedFrom JoinsNamespaceOf StopWhenUnneeded JobTimeoutSec "
	 "JobRunningTimeoutSec JobTimeoutAction StartLimitAction"},
	{"Service", SCHEMA_HARMLESS,
	 "GuessMainPID Slice Delegate DelegateSubgroup IOSchedulingClass IOSchedulingPriority "
	 "TTYPath TTYReset TTYVHangup TTYVTDisallocate TTYRows TTYColumns SyslogIdentifier SyslogFacility "
	 "SyslogLevel SyslogLevelPrefix UtmpIdentifier UtmpMode TimeoutCleanSec CPUAccounting "
	 "MemoryAccounting IOAccounting BlockIOAccounting TasksAccounting IPAccounting RebootArgument "
	 "RuntimeRandomizedExtraSec ReloadSignal RestartSteps RestartMode MountAPIVFS LogNamespace "
	 "LogRateLimitIntervalSec LogRateLimitBurst CoredumpReceive"},
	{"Service", SCHEMA_NOT_HONOURED,
	 "StartLimitAction TimeoutStartFailureMode TimeoutStopFailureMode ExitType NonBlocking "
	 "FileDescriptorStoreMax FileDescriptorStorePreserve OpenFile USBFunctionDescriptors "
	 "USBFunctionStrings RootImage RootImageOptions RootImagePolicy RootHash RootHashSignature "
	 "RootVerity RootEphemeral ExtensionDirectories ExtensionImages ExtensionImagePolicy MountImages "
	 "MountImagePolicy CoredumpFilter CPUSchedulingPolicy CPUSchedulingPriority "
	 "CPUSchedulingResetOnFork CPUAffinity NUMAPolicy NUMAMask StandardInputText StandardInputData "
	 "LogLevelMax LogExtraFields LogFilterPatterns TimerSlackNSec ExecSearchPath BindPaths "
	 "BindReadOnlyPaths NetworkNamespacePath IPCNamespacePath Personality SetCredential "
	 "SetCredentialEncrypted LoadCredentialEncrypted ImportCredential PAMName RemoveIPC KeyringMode "
	 "MountFlags SetLoginEnvironment AllowedCPUs StartupAllowedCPUs AllowedMemoryNodes "
	 "StartupAllowedMemoryNodes StartupCPUWeight CPUShares StartupCPUShares "
	 "DefaultMemoryMin DefaultMemoryLow "
	 "MemoryZSwapMax MemoryLimit StartupIOWeight IODeviceWeight "
	 "IOReadBandwidthMax IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax IODeviceLatencyTargetSec "
	 "BlockIOWeight StartupBlockIOWeight BlockIODeviceWeight BlockIOReadBandwidth "
	 "BlockIOWriteBandwidth DisableControllers ManagedOOMSwap ManagedOOMMemoryPressure "
	 "ManagedOOMMemoryPressureLimit ManagedOOMPreference BPFProgram MemoryPressureWatch "
	 "MemoryPressureThresholdSec NFTSet"},
	{"Service", SCHEMA_NOT_ENFORCED,
	 "SecureBits ProtectProc ProcSubset SystemCallFilter SystemCallArchitectures "
	 "SystemCallErrorNumber SystemCallLog MemoryDenyWriteExecute RestrictNamespaces RestrictRealtime "
	 "RestrictSUIDSGID RestrictAddressFamilies LockPersonality RestrictFileSystems "
	 "PrivateDevices ProtectKernelTunables "
	 "ProtectKernelModules ProtectKernelLogs ProtectClock ProtectControlGroups PrivateNetwork "
	 "PrivateUsers PrivatePIDs PrivateMounts PrivateIPC ProtectSystem ProtectHome ProtectHostname "
	 "DeviceAllow DevicePolicy IPAddressAllow IPAddressDeny IPIngressFilterPath IPEgressFilterPath "
	 "SocketBindAllow SocketBindDeny RestrictNetworkInterfaces SELinuxContext AppArmorProfile "
	 "SmackProcessLabel Capabilities"},
	{"Socket", SCHEMA_HARMLESS,
	 "Backlog TimeoutSec RemoveOnStop FlushPending DirectoryMode Slice TriggerLimitIntervalSec "
	 "TriggerLimitBurst PollLimitIntervalSec PollLimitBurst MaxConnections MaxConnectionsPerSource "
	 "KeepAliveTimeSec KeepAliveIntervalSec KeepAliveProbes DeferAcceptSec Writable"},
	{"Socket", SCHEMA_NOT_HONOURED,
	 "ListenFIFO ListenNetlink ListenSpecial ListenMessageQueue ListenUSBFunction SocketProtocol "
	 "BindIPv6Only BindToDevice ExecStartPre ExecStartPost ExecStopPre ExecStopPost KeepAlive NoDelay "
	 "Priority ReceiveBuffer SendBuffer IPTOS IPTTL Mark PipeSize FreeBind Transparent Broadcast "
	 "PassCredentials PassSecurity PassPacketInfo PassFileDescriptorsToExec Timestamping "
	 "TCPCongestion ReusePort MessageQueueMaxMessages MessageQueueMessageSize Symlinks SmackLabel "
	 "SmackLabelIPIn SmackLabelIPOut SELinuxContextFromNet AcceptFileDescriptors"},
};

/* Those of them with which systemd sets no_new_privs, too (systemd.exec(5), NoNewPrivileges=). */
static const char *const filter_words[] = {
	"SystemCallFilter",	 "SystemCallArchitectures",
	"SystemCallLog",	 "MemoryDenyWriteExecute",
	"RestrictNamespaces",	 "RestrictRealtime",
	"RestrictSUIDSGID",	 "RestrictAddressFamilies",
	"LockPersonality",	 "PrivateDevices",
	"ProtectClock",		 "ProtectHostname",
	"ProtectKernelTunables", "ProtectKernelModules",
	"ProtectKernelLogs",
};

static const struct {
	const char *name;
	enum probe_kind kind;
} probe_sections[] = {
	{"X-Startup", PROBE_STARTUP},
	{"X-Liveness", PROBE_LIVENESS},
	{"X-Readiness", PROBE_READINESS},
};

/* Its keys are names of the user's. */
static const char templates_section[] = "X-Templates";

static struct probe *find_probe(struct unit *unit, const char *section)
{
	for (size_t i = 0; i < ARRAY_COUNT(probe_sections); i++) {
		if (strcmp(probe_sections[i].name, section) == 0)
			return &unit->probes[probe_sections[i].kind];
	}
	return NULL;
}

static void init_probe(struct probe *probe)
{
	*probe = (struct probe){
		.period_us = 10 * USEC_PER_SEC,
		.timeout_us = USEC_PER_SEC,
		.failure_threshold = 3,
		.success_threshold = 1,
	};
}

void schema_init_unit(struct unit *unit)
{
	struct plan_unit *plan = &unit->plan;

	plan->kind = unit->name.kind;
	plan->flags = UNIT_SEND_SIGKILL | UNIT_IGNORE_SIGPIPE;
	plan->restart_us = 100 * USEC_PER_MSEC;
	plan->start_limit_interval_us = 10 * USEC_PER_SEC;
	plan->start_limit_burst = 5;
	plan->timeout_start_us = 90 * USEC_PER_SEC;
	plan->timeout_stop_us = 90 * USEC_PER_SEC;
	plan->runtime_max_us = PLAN_INFINITY_US;
	plan->watchdog_us = PLAN_INFINITY_US;
	plan->kill_signal = SIGTERM;
	plan->final_kill_signal = SIGKILL;
	plan->watchdog_signal = SIGABRT;
	plan->failure_status = 256;
	plan->success_status = 256;
	plan->uid = PLAN_NO_ID;
	plan->gid = PLAN_NO_ID;
	plan->umask = 0022;
	for (int i = 0; i < DIRECTORY_TYPE_COUNT; i++)
		unit->directory_modes[i] = 0755;
	for (int i = 0; i < PROBE_KIND_COUNT; i++)
		init_probe(&unit->probes[i]);
	unit->default_dependencies = ANSWER_UNSET;
	unit->is_essential = ANSWER_UNSET;
	unit->socket_mode = 0666;
	unit->socket_uid = PLAN_NO_ID;
	unit->socket_gid = PLAN_NO_ID;
	unit->sandbox = UNIT_SANDBOX_COUNT;
	unit->description = "";
}

static bool has_word(const char *words, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = words; (at = strstr(at, word)); at += length) {
		if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
			return true;
	}
	return false;
}

static const struct known *find_known(const char *section, const char *key)
{
	for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
		bool is_execution =
			strcmp(section, "Socket") == 0 && strcmp(known[i].section, "Service") == 0;
		if ((strcmp(known[i].section, section) == 0 || is_execution) &&
		    has_word(known[i].words, key))
			return &known[i];
	}
	return NULL;
}

/* Nothing was asked for: no, or a reset. */
static bool is_off(const char *value)
{
	bool is_on;

	return !*value || (str_parse_bool(value, &is_on) == 0 && !is_on);
}

/* The section where key would be right, or NULL. */
static const char *find_home(const char *key)
{
	bool is_assert = false;

	if (condition_find(key, &is_assert))
		return "Unit";
	for (size_t i = 0; i < ARRAY_COUNT(directives); i++) {
		if (strcmp(directives[i].key, key) == 0)
			return directives[i].section;
	}
	for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
		if (has_word(known[i].words, key))
			return known[i].section;
	}
	return directive_find(probe_directives, ARRAY_COUNT(probe_directives), "Probe", key)
		       ? "X-Readiness"
		       : NULL;
}

/* The nearest key of the section that is honoured. */
static const char *find_nearest(const char *section, bool is_probe, const char *key)
{
	const struct directive *table = is_probe ? probe_directives : directives;
	size_t count = is_probe ? ARRAY_COUNT(probe_directives) : ARRAY_COUNT(directives);
	const char *names[ARRAY_COUNT(directives)];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (is_probe || strcmp(table[i].section, section) == 0)
			names[n++] = table[i].key;
	}
	return value_nearest(key, names, n);
}

static void say_unknown(struct units *units, const char *section, bool is_probe,
			const struct lex_item *item)
{
	const char *home = find_home(item->key);
	const char *nearest = find_nearest(section, is_probe, item->key);

	if (home && strcmp(home, section) != 0)
		report_unknown(&units->report, &item->at,
			       "%s= does not belong in [%s]: expected it in [%s]", item->key,
			       section, home);
	else if (nearest)
		report_unknown(&units->report, &item->at,
			       "unknown key %s= in [%s]: did you mean %s=?", item->key, section,
			       nearest);
	else
		report_unknown(&units->report, &item->at, "unknown key %s= in [%s]", item->key,
			       section);
}

static bool apply_condition(const struct parse *parse)
{
	bool is_assert = false;
	const struct condition_row *row = condition_find(parse->item->key, &is_assert);
	struct directive directive = {
		.section = "Unit", .argument = is_assert ? CONDITION_ASSERT : 0, .data = row};
	struct parse condition = *parse;

	if (!row)
		return false;
	condition.directive = &directive;
	parse_condition(&condition, &parse->unit->conditions);
	return true;
}

void schema_apply(struct units *units, struct unit *unit, const char *section,
		  const struct lex_item *item)
{
	struct probe *probe = find_probe(unit, section);
	struct parse parse = {
		.units = units,
		.unit = unit,
		.item = item,
		.value = item->value,
		.specifiers = {&units->arena, &units->source, &unit->name, unit->file,
			       units->request.hostname},
	};

	if (strcmp(section, templates_section) == 0) {
		parse_template(&parse, &unit->templates);
		return;
	}
	if (strcmp(section, "Install") == 0 || str_starts(item->key, "X-"))
		return;
	if (strcmp(section, "Unit") == 0 && apply_condition(&parse))
		return;
	parse.directive =
		probe ? directive_find(probe_directives, ARRAY_COUNT(probe_directives), "Probe",
				       item->key)
		      : directive_find(directives, ARRAY_COUNT(directives), section, item->key);
	if (parse.directive) {
		char *base = probe ? (char *)probe : (char *)unit;
		if (probe && probe->at.line == 0)
			probe->at = item->at;
		parse.directive->parse(&parse, base + parse.directive->offset);
		return;
	}
	const struct known *row = find_known(section, item->key);
	if (row && row->care == SCHEMA_NOT_ENFORCED && !is_off(item->value) &&
	    str_is_one_of(item->key, filter_words, ARRAY_COUNT(filter_words)))
		unit->has_sandbox_words = true;
	if (!row)
		say_unknown(units, section, probe, item);
	else if (row->care != SCHEMA_HARMLESS && !is_off(item->value))
		report_warning(&units->report, &item->at, "%s=: %s", item->key,
			       care_texts[row->care]);
}

static void walk_words(const struct known *row,
		       void (*visit)(void *context, const char *section, const char *key,
				     enum schema_care care),
		       void *context)
{
	char key[64];

	for (const char *at = row->words; *at;) {
		size_t length = strcspn(at, " ");
		if (length < sizeof(key)) {
			memcpy(key, at, length);
			key[length] = '\0';
			visit(context, row->section, key, row->care);
		}
		at += length + (at[length] == ' ');
	}
}

static void walk_conditions(void (*visit)(void *context, const char *section, const char *key,
					  enum schema_care care),
			    void *context)
{
	char key[64];

	for (size_t i = 0; i < n_condition_rows; i++) {
		(void)snprintf(key, sizeof(key), "Condition%s", condition_rows[i].word);
		visit(context, "Unit", key, SCHEMA_HONOURED);
		(void)snprintf(key, sizeof(key), "Assert%s", condition_rows[i].word);
		visit(context, "Unit", key, SCHEMA_HONOURED);
	}
}

void schema_walk(void (*visit)(void *context, const char *section, const char *key,
			       enum schema_care care),
		 void *context)
{
	static const char *const probes = "X-Startup, X-Liveness, X-Readiness";

	for (size_t i = 0; i < ARRAY_COUNT(directives); i++)
		visit(context, directives[i].section, directives[i].key,
		      directives[i].parse == parse_check_only ? SCHEMA_CHECKED : SCHEMA_HONOURED);
	for (size_t i = 0; i < ARRAY_COUNT(probe_directives); i++)
		visit(context, probes, probe_directives[i].key, SCHEMA_HONOURED);
	visit(context, templates_section, "TARGET", SCHEMA_HONOURED);
	for (size_t i = 0; i < ARRAY_COUNT(known); i++)
		walk_words(&known[i], visit, context);
	walk_conditions(visit, context);
}

bool schema_enter(struct units *units, struct unit *unit, const struct lex_item *item)
{
	static const char *const names[] = {"Unit",	  "Service",	"Socket",
					    "Install",	  "X-Holdfast", "X-Readiness",
					    "X-Liveness", "X-Startup",	templates_section};
	static const char *const own[UNIT_KIND_COUNT] = {"Service", "", "Socket"};
	const char *section = item->key;
	uint32_t which;

	if (value_enum(section, names, ARRAY_COUNT(names), &which) == 0) {
		bool is_kinds = strcmp(section, own[unit->name.kind]) == 0;
		/* The fragment comes before its drop-ins. */
		if (is_kinds && unit->section_at.line == 0)
			unit->section_at = item->at;
		if (is_kinds || (which != 1 && which != 2))
			return true;
		report_unknown(&units->report, &item->at, "[%s] has no meaning in a .%s file",
			       section, unit->name.suffix);
		return false;
	}
	const char *nearest = value_nearest(section, names, ARRAY_COUNT(names));
	if (nearest)
		report_unknown(&units->report, &item->at,
			       "unknown section [%s]: did you mean [%s]?", section, nearest);
	else if (!str_starts(section, "X-"))
		report_unknown(&units->report, &item->at, "unknown section [%s]", section);
	return false;
}
