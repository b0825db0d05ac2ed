/* SPDX-License-Identifier: Apache-2.0 */
/* result.c: see result.h. */
#include "result.h"

void result_error(struct json *json, const struct err *err)
{
	json_object(json, "error");
	json_string(json, "module", err->module);
	json_i64(json, "errno", err->code);
	json_string(json, "message", err->text);
	json_object_end(json);
}

static void result_usage(struct json *json, const struct run_result *result)
{
	const struct cgroup_usage *usage = &result->usage;

	json_object(json, "usage");
	json_u64(json, "cpu_user_ms", usage->cpu_user_us / 1000);
	json_u64(json, "cpu_system_ms", usage->cpu_system_us / 1000);
	json_u64(json, "memory_peak_bytes", usage->memory_peak_bytes);
	json_u64(json, "io_read_bytes", usage->io_read_bytes);
	json_u64(json, "io_write_bytes", usage->io_write_bytes);
	json_u64(json, "pids_peak", usage->pids_peak);
	json_u64(json, "disk_bytes", result->disk_bytes);
	json_object_end(json);
}

static void result_namespaces(struct json *json, const struct sandbox_readback *r)
{
	json_object(json, "namespaces");
	for (size_t i = 0; i < ELEMENTSOF(r->ns); i++) {
		json_object(json, sandbox_ns_names[i]);
		json_string(json, "id", r->ns[i]);
		json_bool(json, "own", r->ns_own[i]);
		json_object_end(json);
	}
	json_object_end(json);
}

static void result_layers(struct json *json, const struct options *options,
			  const struct run_result *result)
{
	const struct sandbox_readback *r = &result->readback;

	json_object(json, "layers");
	result_namespaces(json, r);
	json_object(json, "seccomp");
	json_i64(json, "mode", r->seccomp);
	json_i64(json, "filters", r->seccomp_filters);
	json_string(json, "profile", options->seccomp->name);
	json_u64(json, "calls_allowed", options->seccomp->calls);
	json_object_end(json);
	json_bool(json, "no_new_privs", r->no_new_privs == 1);
	json_object(json, "capabilities"); /* of init; a command of --user has none at all */
	json_string(json, "effective", r->cap_eff);
	json_string(json, "permitted", r->cap_prm);
	json_string(json, "bounding", r->cap_bnd);
	json_string(json, "inheritable", r->cap_inh);
	json_string(json, "ambient", r->cap_amb);
	json_object_end(json);
	json_string(json, "uid_map", r->uid_map);
	json_object(json, "root");
	json_string(json, "type", r->root_fs);
	json_string(json, "options", r->root_flags);
	json_object_end(json);
	if (r->landlock_abi >= 2)
		json_u64(json, "landlock_abi", (uint64_t)r->landlock_abi);
	else
		json_null(json, "landlock_abi");
	json_object_end(json);
}

static void result_limits(struct json *json, const struct options *options)
{
	json_object(json, "limits");
	for (int i = 0; i < LIMIT_MAX; i++) {
		const struct limit *limit = &options->limits.of[i];

		json_object(json, limit_names[i]);
		if (!limit->value)
			json_null(json, "asked");
		else if (i == LIMIT_CPUS && limit->value % 1000) {
			char text[32];

			snprintf(text, sizeof(text), "%llu.%03llu",
				 (unsigned long long)limit->value / 1000,
				 (unsigned long long)limit->value % 1000);
			json_string(json, "asked", text);
		} else {
			json_u64(json, "asked",
				 i == LIMIT_CPUS ? limit->value / 1000 : limit->value);
		}
		json_bool(json, "named", limit->named);
		json_string(json, "enforced_by", limit->value ? limit->enforced_by : NULL);
		json_object_end(json);
	}
	json_object_end(json);
}

static void result_identity(struct json *json, const struct options *options)
{
	json_object(json, "identity");
	json_string(json, "org", options->org);
	json_string(json, "user", options->user_id);
	json_string(json, "agent", options->agent);
	json_string(json, "skill", options->skill);
	json_string(json, "session", options->session);
	json_object_end(json);
	json_object(json, "labels");
	for (size_t i = 0; i < options->n_labels; i++) {
		const char *equals = strchr(options->labels[i], '=');
		char key[256];

		snprintf(key, sizeof(key), "%.*s", (int)(equals - options->labels[i]),
			 options->labels[i]);
		json_string(json, key, equals + 1);
	}
	json_object_end(json);
}

static void result_attempts(struct json *json, const struct run_result *result)
{
	json_array(json, "refused_calls");
	for (size_t i = 0; i < result->n_attempts; i++) {
		const char *name = seccomp_recorded_name(result->attempts[i].number);

		json_object(json, NULL);
		json_string(json, "call", name ? name : "?");
		json_u64(json, "count", result->attempts[i].count);
		json_object_end(json);
	}
	json_array_end(json);
}

int result_json(const struct options *options, const struct run_result *result, struct buf *out)
{
	struct json json;
	int r;

	json_init(&json, out);
	json_object(&json, NULL);
	json_string(&json, "id", result->id);
	json_i64(&json, "exit_code", result->exit_code);
	if (result->signal)
		json_i64(&json, "signal", result->signal);
	else
		json_null(&json, "signal");
	json_string(&json, "ended_by", run_end_names[result->ended_by]);
	if (options->json) {
		json_bytes(&json, "stdout", result->out.data ? result->out.data : "",
			   result->out.len);
		json_bytes(&json, "stderr", result->err_out.data ? result->err_out.data : "",
			   result->err_out.len);
	}
	json_object(&json, "truncated");
	json_bool(&json, "stdout", result->out_truncated);
	json_bool(&json, "stderr", result->err_truncated);
	json_bool(&json, "changes", result->changes_truncated);
	json_object_end(&json);
	json_u64(&json, "duration_ms", result->duration_ms);
	result_usage(&json, result);
	json_object(&json, "limits_hit");
	json_bool(&json, "pids", result->pids_hit);
	json_bool(&json, "disk", result->disk_hit);
	json_bool(&json, "memory", result->usage.oom_kills > 0);
	json_object_end(&json);
	if (result->changes.len && json.error == 0) {
		/* The keeper's array is JSON already. */
		json.error = buf_puts(out, ",\"changes\":");
		if (json.error == 0)
			json.error = buf_append(out, result->changes.data, result->changes.len);
	}
	result_attempts(&json, result);
	json_object(&json, "isolation");
	json_string(&json, "level", "nano");
	json_string(&json, "mode",
		    !result->rootless	? "root"
		    : result->single_id ? "rootless, single id"
					: "rootless");
	result_layers(&json, options, result);
	result_limits(&json, options);
	json_object_end(&json);
	result_identity(&json, options);
	if (result->files.code)
		result_error(&json, &result->files);
	json_object_end(&json);
	r = json_done(&json);
	return r < 0 ? r : buf_putc(out, '\n');
}

static void result_value(enum limit_kind kind, uint64_t value, char *ret, size_t size)
{
	static const char units[] = "BKMGT";
	int unit = 0;

	if (kind == LIMIT_TIMEOUT || kind == LIMIT_CPU_TIME) {
		snprintf(ret, size, value % 1000 ? "%llums" : "%llus",
			 (unsigned long long)(value % 1000 ? value : value / 1000));
		return;
	}
	if (kind == LIMIT_PIDS) {
		snprintf(ret, size, "%llu", (unsigned long long)value);
		return;
	}
	while (value && value % 1024 == 0 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(ret, size, "%llu%c", (unsigned long long)value, units[unit]);
}

void result_explain(const struct options *options, const struct run_result *result, int fd)
{
	static const struct {
		enum run_end end;
		enum limit_kind kind;
		const char *what;
	} table[] = {
		{RUN_TIMEOUT, LIMIT_TIMEOUT, "the time-out"},
		{RUN_CPU, LIMIT_CPU_TIME, "the CPU time limit"},
		{RUN_MEMORY, LIMIT_MEMORY, "the memory limit"},
		{RUN_DISK, LIMIT_DISK, "the disk limit"},
		{RUN_PIDS, LIMIT_PIDS, "the limit of processes"},
		{RUN_IO, LIMIT_WRITE_TOTAL, "the limit of written bytes"},
		{RUN_OUTPUT, LIMIT_OUTPUT, "the output limit"},
	};
	char value[32];

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		if (table[i].end != result->ended_by)
			continue;
		result_value(table[i].kind, options->limits.of[table[i].kind].value, value,
			     sizeof(value));
		dprintf(fd, "creel: ended by %s of %s; raise it with %s\n", table[i].what, value,
			limit_options[table[i].kind]);
	}
	if (result->skipped)
		dprintf(fd,
			"creel: --out left out %llu files: devices, pipes, sockets, or links that "
			"lead outside\n",
			(unsigned long long)result->skipped);
}
