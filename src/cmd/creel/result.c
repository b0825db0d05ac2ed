/* SPDX-License-Identifier: Apache-2.0 */
/* result.c: see result.h. */
#include "result.h"

void result_error(struct jsonw *json, const struct err *err)
{
	jsonw_object(json, "error");
	jsonw_string(json, "module", err->module);
	jsonw_i64(json, "errno", err->code);
	jsonw_string(json, "message", err->text);
	jsonw_object_end(json);
}

static void result_usage(struct jsonw *json, const struct run_result *result)
{
	const struct cgroup_usage *usage = &result->usage;

	jsonw_object(json, "usage");
	jsonw_u64(json, "cpu_user_ms", usage->cpu_user_us / 1000);
	jsonw_u64(json, "cpu_system_ms", usage->cpu_system_us / 1000);
	jsonw_u64(json, "memory_peak_bytes", usage->memory_peak_bytes);
	jsonw_u64(json, "io_read_bytes", usage->io_read_bytes);
	jsonw_u64(json, "io_write_bytes", usage->io_write_bytes);
	jsonw_u64(json, "pids_peak", usage->pids_peak);
	jsonw_u64(json, "disk_bytes", result->disk_bytes);
	jsonw_object_end(json);
}

static void result_namespaces(struct jsonw *json, const struct sandbox_readback *r)
{
	jsonw_object(json, "namespaces");
	for (size_t i = 0; i < ELEMENTSOF(r->ns); i++) {
		jsonw_object(json, sandbox_ns_names[i]);
		jsonw_string(json, "id", r->ns[i]);
		jsonw_bool(json, "own", r->ns_own[i]);
		jsonw_object_end(json);
	}
	jsonw_object_end(json);
}

static void result_layers(struct jsonw *json, const struct options *options,
			  const struct run_result *result)
{
	const struct sandbox_readback *r = &result->readback;

	jsonw_object(json, "layers");
	result_namespaces(json, r);
	jsonw_object(json, "seccomp");
	jsonw_i64(json, "mode", r->seccomp);
	jsonw_i64(json, "filters", r->seccomp_filters);
	jsonw_string(json, "profile", options->seccomp->name);
	jsonw_u64(json, "calls_allowed", options->seccomp->calls);
	jsonw_object_end(json);
	jsonw_bool(json, "no_new_privs", r->no_new_privs == 1);
	jsonw_object(json, "capabilities"); /* of init; a command of --user has none at all */
	jsonw_string(json, "effective", r->cap_eff);
	jsonw_string(json, "permitted", r->cap_prm);
	jsonw_string(json, "bounding", r->cap_bnd);
	jsonw_string(json, "inheritable", r->cap_inh);
	jsonw_string(json, "ambient", r->cap_amb);
	jsonw_object_end(json);
	jsonw_string(json, "uid_map", r->uid_map);
	jsonw_object(json, "root");
	jsonw_string(json, "type", r->root_fs);
	jsonw_string(json, "options", r->root_flags);
	jsonw_object_end(json);
	if (r->landlock_abi >= 2)
		jsonw_u64(json, "landlock_abi", (uint64_t)r->landlock_abi);
	else
		jsonw_null(json, "landlock_abi");
	jsonw_object_end(json);
}

static void result_limits(struct jsonw *json, const struct options *options)
{
	jsonw_object(json, "limits");
	for (int i = 0; i < LIMIT_MAX; i++) {
		const struct limit *limit = &options->limits.of[i];

		jsonw_object(json, limit_names[i]);
		if (!limit->value)
			jsonw_null(json, "asked");
		else if (i == LIMIT_CPUS && limit->value % 1000) {
			char text[32];

			snprintf(text, sizeof(text), "%llu.%03llu",
				 (unsigned long long)limit->value / 1000,
				 (unsigned long long)limit->value % 1000);
			jsonw_string(json, "asked", text);
		} else {
			jsonw_u64(json, "asked",
				  i == LIMIT_CPUS ? limit->value / 1000 : limit->value);
		}
		jsonw_bool(json, "named", limit->named);
		jsonw_string(json, "enforced_by", limit->value ? limit->enforced_by : NULL);
		jsonw_object_end(json);
	}
	jsonw_object_end(json);
}

static void result_identity(struct jsonw *json, const struct options *options)
{
	jsonw_object(json, "identity");
	jsonw_string(json, "org", options->org);
	jsonw_string(json, "user", options->user_id);
	jsonw_string(json, "agent", options->agent);
	jsonw_string(json, "skill", options->skill);
	jsonw_string(json, "session", options->session);
	jsonw_object_end(json);
	jsonw_object(json, "labels");
	for (size_t i = 0; i < options->n_labels; i++) {
		const char *equals = strchr(options->labels[i], '=');
		char key[256];

		snprintf(key, sizeof(key), "%.*s", (int)(equals - options->labels[i]),
			 options->labels[i]);
		jsonw_string(json, key, equals + 1);
	}
	jsonw_object_end(json);
}

static void result_attempts(struct jsonw *json, const struct run_result *result)
{
	jsonw_array(json, "refused_calls");
	for (size_t i = 0; i < result->n_attempts; i++) {
		const char *name = seccomp_recorded_name(result->attempts[i].number);

		jsonw_object(json, NULL);
		jsonw_string(json, "call", name ? name : "?");
		jsonw_u64(json, "count", result->attempts[i].count);
		jsonw_object_end(json);
	}
	jsonw_array_end(json);
}

static void result_audit(struct jsonw *json, const struct options *options,
			 const struct run_result *result)
{
	const struct run_audit *audit = &result->audit;

	jsonw_object(json, "audit");
	jsonw_string(json, "org", options->org);
	jsonw_u64(json, "start", audit->start);
	if (audit->end == AUDIT_NONE)
		jsonw_null(json, "end");
	else
		jsonw_u64(json, "end", audit->end);
	jsonw_string(json, "checkpoint", audit->checkpoint.data);
	if (audit->err.code)
		result_error(json, &audit->err);
	jsonw_object_end(json);
}

/* What outlives the run, by the names that the command line takes. */
static void result_kept(struct jsonw *json, const struct options *options,
			const struct run_result *result)
{
	jsonw_object(json, "kept");
	jsonw_string(json, "agent", options->ephemeral ? NULL : options->agent);
	jsonw_string(json, "workspace", options->workspace_name);
	jsonw_string(json, "layer", options->keep);
	jsonw_string(json, "overlay", *result->overlay ? result->overlay : NULL);
	jsonw_object_end(json);
}

int result_json(const struct options *options, const struct run_result *result, struct buf *out)
{
	struct jsonw json;
	int r;

	jsonw_init(&json, out);
	jsonw_object(&json, NULL);
	jsonw_string(&json, "id", result->id);
	jsonw_i64(&json, "exit_code", result->exit_code);
	if (result->signal)
		jsonw_i64(&json, "signal", result->signal);
	else
		jsonw_null(&json, "signal");
	jsonw_string(&json, "ended_by", run_end_names[result->ended_by]);
	if (options->json) {
		jsonw_bytes(&json, "stdout", result->out.data ? result->out.data : "",
			    result->out.len);
		jsonw_bytes(&json, "stderr", result->err_out.data ? result->err_out.data : "",
			    result->err_out.len);
	}
	jsonw_object(&json, "truncated");
	jsonw_bool(&json, "stdout", result->out_truncated);
	jsonw_bool(&json, "stderr", result->err_truncated);
	jsonw_bool(&json, "changes", result->changes_truncated);
	jsonw_object_end(&json);
	jsonw_u64(&json, "duration_ms", result->duration_ms);
	result_usage(&json, result);
	jsonw_object(&json, "limits_hit");
	jsonw_bool(&json, "pids", result->pids_hit);
	jsonw_bool(&json, "disk", result->disk_hit);
	jsonw_bool(&json, "memory", result->usage.oom_kills > 0);
	jsonw_object_end(&json);
	if (result->changes.len && json.error == 0) {
		/* The keeper's array is JSON already. */
		json.error = buf_puts(out, ",\"changes\":");
		if (json.error == 0)
			json.error = buf_append(out, result->changes.data, result->changes.len);
	}
	if (result->accessed.len && json.error == 0) {
		json.error = buf_puts(out, ",\"files\":");
		if (json.error == 0)
			json.error = buf_append(out, result->accessed.data, result->accessed.len);
	} else {
		jsonw_null(&json, "files"); /* not watched */
	}
	result_attempts(&json, result);
	jsonw_string(&json, "image", *result->image ? result->image : "host");
	jsonw_object(&json, "isolation");
	jsonw_string(&json, "level", "nano");
	jsonw_string(&json, "mode",
		     !result->rootless	 ? "root"
		     : result->single_id ? "rootless, single id"
					 : "rootless");
	result_layers(&json, options, result);
	result_limits(&json, options);
	jsonw_object_end(&json);
	result_identity(&json, options);
	result_audit(&json, options, result);
	result_kept(&json, options, result);
	if (result->files.code)
		result_error(&json, &result->files);
	jsonw_object_end(&json);
	r = jsonw_done(&json);
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
