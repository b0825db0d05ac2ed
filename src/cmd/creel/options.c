/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: see options.h. */
#include "options.h"

#include "config.h"
#include "creel.h"
#include "fs.h"
#include "jsonw.h"
#include "lang.h"
#include "parse.h"
#include "sha.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

struct option {
	const char *name, *arg, *help;
	int (*set)(struct options *options, const struct option *option, const char *value,
		   struct err *err);
	size_t offset; /* of a plain string or flag in struct options, or an enum limit_kind */
};

static int bad(struct err *err, const struct option *option, const char *value, const char *why)
{
	return err_set(err, EINVAL, "options", "--%s %s: %s", option->name, value, why);
}

static int set_string(struct options *options, const struct option *option, const char *value,
		      struct err *err)
{
	if (!*value)
		return bad(err, option, "''", "it needs a value");
	*(const char **)((char *)options + option->offset) = value;
	return 0;
}

static int set_flag(struct options *options, const struct option *option, const char *value,
		    struct err *err)
{
	(void)value, (void)err;
	*(bool *)((char *)options + option->offset) = true;
	return 0;
}

static int set_user(struct options *options, const struct option *option, const char *value,
		    struct err *err)
{
	(void)option, (void)value, (void)err;
	options->as_root = false;
	return 0;
}

static void set_limit(struct options *options, const struct option *option, uint64_t value)
{
	options->limits.of[option->offset] = (struct limit){.value = value, .named = true};
}

static int set_size(struct options *options, const struct option *option, const char *value,
		    struct err *err)
{
	uint64_t bytes, least = option->offset == LIMIT_MEMORY ? 4u << 20 : 1;

	if (option->offset == LIMIT_DISK)
		least = 1u << 20;
	if (parse_size(value, &bytes) < 0)
		return bad(err, option, value, "not a size; write it like 512M, 1.5G or 1048576");
	if (bytes < least || bytes > 1ull << 50)
		return bad(err, option, value,
			   least == 1	       ? "must be at least 1 byte and at most 1024T"
			   : least == 1u << 20 ? "must be at least 1M and at most 1024T"
					       : "must be at least 4M and at most 1024T");
	if (option->offset == LIMIT_OUTPUT && bytes > CEIL_OUTPUT)
		return bad(err, option, value, "at most 4G");
	set_limit(options, option, bytes);
	return 0;
}

static int set_time(struct options *options, const struct option *option, const char *value,
		    struct err *err)
{
	uint64_t ms;

	if (parse_time_ms(value, &ms) < 0)
		return bad(err, option, value, "not a time; write it like 30s, 1.5m, 2h or 500ms");
	if (ms == 0 || ms > 366ull * 86400000)
		return bad(err, option, value, "must be above 0 and at most 366d");
	set_limit(options, option, ms);
	return 0;
}

static int set_cpus(struct options *options, const struct option *option, const char *value,
		    struct err *err)
{
	uint64_t milli;

	if (parse_milli(value, &milli) < 0)
		return bad(err, option, value, "not a number of CPUs; write it like 2 or 0.5");
	if (milli < 10 || milli > 8192000)
		return bad(err, option, value, "must be at least 0.01 and at most 8192");
	set_limit(options, option, milli);
	return 0;
}

static int set_count(struct options *options, const struct option *option, const char *value,
		     struct err *err)
{
	uint64_t n;

	if (parse_u64(value, 2, 4194304, &n) < 0)
		return bad(err, option, value, "must be a whole number from 2 to 4194304");
	set_limit(options, option, n);
	return 0;
}

/* Inside, the kernel's and creel's own places stay what they are. */
static int check_target(const struct option *option, const char *value, const char *target,
			struct err *err)
{
	static const char *const kept[] = {"/proc", "/dev", "/sys", "/run/script"};

	for (size_t i = 0; i < ELEMENTSOF(kept); i++)
		if (fs_is_below(target, kept[i]))
			return bad(err, option, value,
				   "nothing can be put over /proc, /dev or /sys");
	if (strcmp(target, "/") == 0 || strcmp(target, "/usr") == 0 ||
	    strcmp(target, "/workspace") == 0)
		return bad(err, option, value, "DST must lie below /, /usr and /workspace");
	return 0;
}

/* What shows the host's processes and devices, not files; NULL if it is fine to hand in. */
static const char *unfit(const char *path)
{
	static const long pseudo[] = {PROC_SUPER_MAGIC,	   SYSFS_MAGIC,	  CGROUP_SUPER_MAGIC,
				      CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
				      SECURITYFS_MAGIC,	   BPF_FS_MAGIC,  EFIVARFS_MAGIC,
				      DEVPTS_SUPER_MAGIC};
	struct statfs st;

	if (strcmp(path, "/") == 0)
		return "the whole machine cannot be handed in";
	if (fs_is_below(path, "/proc") || fs_is_below(path, "/sys") ||
	    (fs_is_below(path, "/dev") && !fs_is_below(path, "/dev/shm")))
		return "the kernel's own files and devices cannot be handed in";
	if (statfs(path, &st) < 0)
		return strerror(errno);
	for (size_t i = 0; i < ELEMENTSOF(pseudo); i++)
		if (st.f_type == pseudo[i])
			return "the kernel's own files cannot be handed in";
	return NULL;
}

static int set_ro(struct options *options, const struct option *option, const char *value,
		  struct err *err)
{
	char source[CEIL_PATH], target[CEIL_PATH];
	const char *stated = strstr(value, ":sha256="), *why, *colon;
	struct sandbox_mount mount = {.stated = stated ? stated + strlen(":sha256=") : NULL};
	char given[2 * CEIL_PATH];

	if (stated && (strlen(mount.stated) != SHA_HEX ||
		       mount.stated[strspn(mount.stated, "0123456789abcdef")]))
		return bad(err, option, value, "sha256= needs 64 digits of 0-9 and a-f");
	if (snprintf(given, sizeof(given), "%.*s",
		     (int)(stated ? (size_t)(stated - value) : strlen(value)),
		     value) >= (int)sizeof(given))
		return bad(err, option, value, "it is too long");
	colon = strrchr(given, ':');
	if (!colon || colon == given || !colon[1])
		return bad(err, option, value, "it must be SRC:DST");
	if (options->n_ro >= CEIL_MOUNTS)
		return bad(err, option, value, "too many of them");
	if (snprintf(source, sizeof(source), "%.*s", (int)(colon - given), given) >=
	    (int)sizeof(source))
		return bad(err, option, value, "SRC is too long");
	mount.source = realpath(source, NULL);
	if (!mount.source)
		return bad(err, option, value, strerror(errno));
	why = unfit(mount.source);
	if (why)
		return bad(err, option, value, why);
	if (fs_canonical(colon + 1, target, sizeof(target)) < 0)
		return bad(err, option, value, "DST must be an absolute path without '..'");
	if (check_target(option, value, target, err) < 0)
		return -EINVAL;
	mount.target = strdup(target);
	if (!mount.target)
		return bad(err, option, value, strerror(errno));
	options->ro[options->n_ro++] = mount;
	return 0;
}

static int set_in(struct options *options, const struct option *option, const char *value,
		  struct err *err)
{
	char *path = realpath(value, NULL);

	if (!path)
		return bad(err, option, value, strerror(errno));
	if (options->n_in >= OPTIONS_IN_MAX)
		return bad(err, option, value, "too many of them");
	if (unfit(path))
		return bad(err, option, value, unfit(path));
	for (size_t i = 0; i < options->n_in; i++)
		if (strcmp(strrchr(options->in[i], '/'), strrchr(path, '/')) == 0)
			return bad(err, option, value, "another --in has the same name");
	options->in[options->n_in++] = path;
	return 0;
}

static int set_env(struct options *options, const struct option *option, const char *value,
		   struct err *err)
{
	size_t len = strcspn(value, "=");

	if (len == 0 || value[len] != '=')
		return bad(err, option, value, "it must be NAME=VALUE");
	for (size_t i = 0; i < options->n_env; i++)
		if (strncmp(options->env[i], value, len + 1) == 0) {
			options->env[i] = (char *)(uintptr_t)value;
			return 0;
		}
	if (options->n_env >= OPTIONS_ENV_MAX)
		return bad(err, option, value, "too many of them");
	options->env[options->n_env++] = (char *)(uintptr_t)value;
	return 0;
}

static int set_label(struct options *options, const struct option *option, const char *value,
		     struct err *err)
{
	if (value[0] == '=' || !strchr(value, '='))
		return bad(err, option, value, "it must be KEY=VALUE");
	if (!jsonw_is_utf8(value, strlen(value)))
		return bad(err, option, value, "it must be UTF-8");
	if (strcspn(value, "=") > 128 || strlen(value) > 4096)
		return bad(err, option, value, "at most 128 bytes of KEY and 4096 in all");
	for (size_t i = 0; i < options->n_labels; i++)
		if (strncmp(options->labels[i], value, strcspn(value, "=") + 1) == 0) {
			options->labels[i] = value; /* the last one counts, as with --env */
			return 0;
		}
	if (options->n_labels >= CEIL_LABELS)
		return bad(err, option, value, "too many of them");
	options->labels[options->n_labels++] = value;
	return 0;
}

static int set_level(struct options *options, const struct option *option, const char *value,
		     struct err *err)
{
	static const char *const later[] = {"wasm", "iron", "vm"};

	options->level = value;
	if (strcmp(value, "nano") == 0)
		return 0;
	for (size_t i = 0; i < ELEMENTSOF(later); i++)
		if (strcmp(value, later[i]) == 0)
			return bad(err, option, value,
				   "this version cannot give that level; it has: nano");
	return bad(err, option, value, "no such level; there are: wasm, nano, iron, vm");
}

static int set_seccomp(struct options *options, const struct option *option, const char *value,
		       struct err *err)
{
	options->seccomp = seccomp_profile_find(value);
	return options->seccomp ? 0
				: bad(err, option, value,
				      "no such profile; there are: strict, build, browser");
}

static int set_tty(struct options *options, const struct option *option, const char *value,
		   struct err *err)
{
	static const char *const names[] = {"auto", "on", "off"};

	for (int i = 0; i < 3; i++)
		if (strcmp(value, names[i]) == 0) {
			options->tty = (enum options_tty)i;
			return 0;
		}
	return bad(err, option, value, "it must be auto, on or off");
}

static int set_hostname(struct options *options, const struct option *option, const char *value,
			struct err *err)
{
	size_t len =
		strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.");

	if (len == 0 || len > 63 || value[len] || value[0] == '-' || value[0] == '.')
		return bad(err, option, value,
			   "it must be at most 63 letters, digits, '-' and '.'");
	options->hostname = value;
	return 0;
}

static int set_cwd(struct options *options, const struct option *option, const char *value,
		   struct err *err)
{
	char canonical[CEIL_PATH];

	if (fs_canonical(value, canonical, sizeof(canonical)) < 0 ||
	    strncmp(canonical, "/proc/", 6) == 0)
		return bad(err, option, value,
			   "it must be an absolute path inside the sandbox, without '..'");
	options->cwd = strdup(canonical);
	return options->cwd ? 0 : bad(err, option, value, strerror(errno));
}

static int set_directory(struct options *options, const struct option *option, const char *value,
			 struct err *err)
{
	char *path = realpath(value, NULL);
	const char *why;
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return bad(err, option, value, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return bad(err, option, value, "not a directory");
	why = unfit(path);
	if (why)
		return bad(err, option, value, why);
	*(const char **)((char *)options + option->offset) = path;
	return 0;
}

/* A directory has a slash in its path; what has none is the name of a workspace that is kept. */
static int set_workspace(struct options *options, const struct option *option, const char *value,
			 struct err *err)
{
	struct stat st;

	options->workspace = options->workspace_name = NULL;
	if (strchr(value, '/') || strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
		return set_directory(options, option, value, err);
	if (parse_name(value) < 0)
		return bad(err, option, value,
			   "a directory needs a slash (./DIR), a name only letters, digits, '.', "
			   "'_' and '-'");
	/* What was meant is not clear, and one of the two would be written to by mistake. */
	if (stat(value, &st) == 0 && S_ISDIR(st.st_mode))
		return bad(err, option, value,
			   "is a directory here: write ./NAME for it, or choose another name for a "
			   "workspace that creel keeps");
	options->workspace_name = value;
	return 0;
}

static int set_name(struct options *options, const struct option *option, const char *value,
		    struct err *err)
{
	if (parse_name(value) < 0)
		return bad(err, option, value,
			   "it must be 1 to 64 letters, digits, '.', '_' and '-', the first a "
			   "letter or digit");
	return set_string(options, option, value, err);
}

static int set_continue(struct options *options, const struct option *option, const char *value,
			struct err *err)
{
	if (strlen(value) != SANDBOX_ID_LEN || parse_name(value) < 0)
		return bad(err, option, value, "it must be the id of a run; creel diff lists them");
	options->overlay_id = value;
	return 0;
}

static int set_witness(struct options *options, const struct option *option, const char *value,
		       struct err *err)
{
	if (!*value)
		return bad(err, option, "''", "it needs a value");
	if (options->n_witnesses >= OPTIONS_WITNESSES_MAX)
		return bad(err, option, value, "too many of them");
	options->witnesses[options->n_witnesses++] = value;
	return 0;
}

/* "stdout=full,argv=hash": what is not named stays as it is; "all" stands for each. */
static int set_audit(struct options *options, const struct option *option, const char *value,
		     struct err *err)
{
	static const char *const modes[] = {
		[AUDIT_KEEP_FULL] = "full", [AUDIT_KEEP_HASH] = "hash", [AUDIT_KEEP_OFF] = "off"};
	const char *p = value;

	while (*p) {
		size_t name = strcspn(p, "=,"), len = strcspn(p, ",");
		const char *mode = p + name + 1;
		size_t n_mode = name < len ? len - name - 1 : 0;
		bool all = name == 3 && memcmp(p, "all", 3) == 0, known = all;
		size_t m;

		for (m = 0; m < ELEMENTSOF(modes); m++)
			if (strlen(modes[m]) == n_mode && memcmp(modes[m], mode, n_mode) == 0)
				break;
		for (size_t i = 0; m < ELEMENTSOF(modes) && i < RUN_PAYLOAD_MAX; i++)
			if (all || (strlen(run_payload_names[i]) == name &&
				    memcmp(run_payload_names[i], p, name) == 0)) {
				options->audit[i] = (enum audit_keep)m;
				known = true;
			}
		if (m == ELEMENTSOF(modes) || !known)
			return bad(
				err, option, value,
				"it must be a list like argv=hash,stdout=full: one of code, argv, "
				"env, inputs, stdout, stderr, changes, files, all; full, hash or "
				"off");
		p += len + (p[len] == ',');
	}
	return *value ? 0 : bad(err, option, "''", "it needs a value");
}

static int set_identity(struct options *options, const struct option *option, const char *value,
			struct err *err)
{
	if (!*value || strlen(value) > 128)
		return bad(err, option, value, "it must have 1 to 128 characters");
	if (!jsonw_is_utf8(value, strlen(value)))
		return bad(err, option, value, "it must be UTF-8");
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x21 || *p == '/' || *p == 0x7f)
			return bad(err, option, value, "no blanks, slashes or control characters");
	return set_string(options, option, value, err);
}

static int set_lang(struct options *options, const struct option *option, const char *value,
		    struct err *err)
{
	char known[512];

	if (!lang_find(value)) {
		lang_list(NULL, known, sizeof(known));
		return err_set(err, EINVAL, "options", "--%s %s: no such language; there are: %s",
			       option->name, value, known);
	}
	options->lang = value;
	return 0;
}

#define AT(field) offsetof(struct options, field)

static const struct option option_table[] = {
	{"lang", "LANG", "run FILE, or the code of -c, with the interpreter of LANG", set_lang, 0},
	{"c", "CODE", "code for --lang", set_string, AT(code)},
	{"image", "NAME", "root filesystem: host (this machine's /usr) or of creel image ls",
	 set_string, AT(image)},
	{"workspace", "DIR|NAME",
	 "at /workspace, read-write: a host directory, or what creel keeps", set_workspace,
	 AT(workspace)},
	{"overlay", "DIR", "at /workspace, copy-on-write: a host directory; then creel diff",
	 set_directory, AT(overlay)},
	{"continue", "ID", "go on with what the run ID changed by --overlay", set_continue, 0},
	{"keep", "NAME", "keep all that is written, for the next run with --keep NAME", set_name,
	 AT(keep)},
	{"ro", "SRC:DST", "a host file or directory, read-only; :sha256=HEX states its hash",
	 set_ro, 0},
	{"in", "PATH", "copy a file or directory into /workspace (repeatable)", set_in, 0},
	{"out", "DIR", "put what is new or changed in /workspace there afterwards", set_directory,
	 AT(out)},
	{"env", "K=V", "an environment variable inside (repeatable)", set_env, 0},
	{"cwd", "PATH", "working directory inside (/workspace)", set_cwd, 0},
	{"user", NULL, "run as uid 1000 without capabilities (default)", set_user, 0},
	{"root", NULL, "run as uid 0 of the sandbox: may install and change files", set_flag,
	 AT(as_root)},
	{"memory", "SIZE", "memory of all processes together (2G)", set_size, LIMIT_MEMORY},
	{"cpus", "N", "CPUs, fractions allowed (2)", set_cpus, LIMIT_CPUS},
	{"cpu-time", "TIME", "CPU time of all processes together (none)", set_time, LIMIT_CPU_TIME},
	{"pids", "N", "processes and threads (512)", set_count, LIMIT_PIDS},
	{"disk", "SIZE", "what may be written to the layer (1G), and to what is kept (10G)",
	 set_size, LIMIT_DISK},
	{"write-total", "SIZE", "bytes written to block devices (none)", set_size,
	 LIMIT_WRITE_TOTAL},
	{"io", "SIZE", "bytes per second, reading and writing each (none)", set_size, LIMIT_IO},
	{"timeout", "TIME", "wall-clock time (10m; none on a terminal)", set_time, LIMIT_TIMEOUT},
	{"output", "SIZE", "stdout and stderr each, when captured (10M)", set_size, LIMIT_OUTPUT},
	{"hostname", "NAME", "host name inside (creel)", set_hostname, 0},
	{"seccomp", "NAME", "system call profile: strict, build, browser (strict)", set_seccomp, 0},
	{"min-level", "LEVEL", "refuse to run with less isolation than LEVEL (nano)", set_level, 0},
	{"tty", "WHEN", "a terminal inside: auto, on, off (auto)", set_tty, 0},
	{"detach", NULL, "run in the background; prints an id for wait, logs and kill", set_flag,
	 AT(detach)},
	{"json", NULL, "print one result object instead of the command's output", set_flag,
	 AT(json)},
	{"org", "NAME", "identity: organisation (local)", set_name, AT(org)},
	{"user-id", "NAME", "identity: user", set_identity, AT(user_id)},
	{"agent", "NAME", "identity: agent; its home and /workspace are kept", set_name, AT(agent)},
	{"ephemeral", NULL, "keep nothing of --agent's", set_flag, AT(ephemeral)},
	{"skill", "NAME", "identity: skill", set_identity, AT(skill)},
	{"session", "NAME", "identity: session", set_identity, AT(session)},
	{"label", "K=V", "a label that comes back in the result (repeatable)", set_label, 0},
	{"audit", "LIST", "what the log keeps: argv=full,stdout=hash,env=off,… (see man creel)",
	 set_audit, 0},
	{"witness", "FILE|URL", "hand the log's checkpoint on after the run (repeatable)",
	 set_witness, 0},
	{"profile", "NAME", "options of this name in the configuration file", set_string,
	 AT(profile)},
	{"state", "DIR", "keep all state below DIR (also CREEL_STATE)", set_string, AT(state)},
	{"help", NULL, "print this", set_flag, AT(help)},
};

static const struct option *option_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ELEMENTSOF(option_table); i++)
		if (strlen(option_table[i].name) == len &&
		    memcmp(option_table[i].name, name, len) == 0)
			return &option_table[i];
	return NULL;
}

void help_run(FILE *out)
{
	fputs("usage: creel run [OPTION]... [--] COMMAND [ARG]...\n"
	      "       creel run [OPTION]... --lang LANG FILE [ARG]...\n"
	      "       creel run [OPTION]... --lang LANG -c CODE [ARG]...\n\n"
	      "Runs a command in a sandbox. Exits with the command's code; 124 time-out, 137 "
	      "killed by\n"
	      "a limit, 125 creel itself failed, 126 cannot be executed, 127 not found.\n\n",
	      out);
	for (size_t i = 0; i < ELEMENTSOF(option_table); i++) {
		const struct option *o = &option_table[i];
		char left[40];

		snprintf(left, sizeof(left), "%s%s%s%s", o->name[1] ? "--" : "-", o->name,
			 o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(out, "  %-20s %s\n", left, o->help);
	}
	fputs("\nSystem call profiles:", out);
	for (size_t i = 0; i < seccomp_n_profiles; i++)
		fprintf(out, "%s %s allows %u calls", i ? "," : "", seccomp_profiles[i].name,
			seccomp_profiles[i].calls);
	fputs(".\n", out);
}

int options_set(struct options *options, const char *name, const char *value, struct err *err)
{
	const struct option *option = option_find(name, strlen(name));

	if (!option || strcmp(name, "profile") == 0 || strcmp(name, "help") == 0 ||
	    strcmp(name, "c") == 0)
		return err_set(err, EINVAL, "options", "'%s' is no option of a profile", name);
	if (option->arg)
		return option->set(options, option, value, err);
	/* A flag must be clearly the one or the other: "root: no" is a word in YAML 1.2. */
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return err_set(err, EINVAL, "options", "'%s' must be true or false", name);
	return value[0] == 't' ? option->set(options, option, "", err) : 0;
}

/* One option at argv[*i]; *i is moved behind it. */
static int options_next(struct options *options, int argc, char **argv, int *i, struct err *err)
{
	const char *word = argv[*i], *name = word + (word[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");
	const struct option *option = option_find(name, len);
	const char *value = name[len] == '=' ? name + len + 1 : NULL;

	if (!option || (word[1] != '-') != (option->name[1] == '\0'))
		return err_set(err, EINVAL, "options", "unknown option %s; see creel run --help",
			       word);
	if (!option->arg && value)
		return err_set(err, EINVAL, "options", "--%s takes no value", option->name);
	if (option->arg && !value) {
		if (*i + 1 >= argc)
			return err_set(err, EINVAL, "options", "%s needs a value: %s", word,
				       option->arg);
		value = argv[++*i];
	}
	++*i;
	return option->set(options, option, value ? value : "", err);
}

static void options_defaults(struct options *options)
{
	*options = (struct options){
		.image = "host",
		.org = "local",
		.audit = {[RUN_PAYLOAD_STDOUT] = AUDIT_KEEP_HASH,
			  [RUN_PAYLOAD_STDERR] = AUDIT_KEEP_HASH},
		.hostname = "creel",
		.cwd = "/workspace",
		.seccomp = seccomp_profile_find("strict"),
		.limits.of = {[LIMIT_MEMORY] = {.value = 2ull << 30},
			      [LIMIT_CPUS] = {.value = 2000},
			      [LIMIT_PIDS] = {.value = 512},
			      [LIMIT_DISK] = {.value = 1ull << 30},
			      [LIMIT_TIMEOUT] = {.value = 600000},
			      [LIMIT_OUTPUT] = {.value = 10u << 20}},
	};
}

static int options_check(struct options *options, struct err *err)
{
	if (options->code && !options->lang)
		return err_set(err, EINVAL, "options", "-c needs --lang");
	if (options->lang && options->code == NULL && options->argc == 0)
		return err_set(err, EINVAL, "options", "--lang %s needs a FILE or -c CODE",
			       options->lang);
	if (!options->lang && options->argc == 0)
		return err_set(err, EINVAL, "options", "no command; see creel run --help");
	if (options->json && options->detach)
		return err_set(err, EINVAL, "options",
			       "--json and --detach exclude each other; creel wait --json ID has "
			       "the result");
	if (options->out && options->workspace && fs_is_below(options->out, options->workspace))
		return err_set(err, EINVAL, "options",
			       "--out %s lies in --workspace %s, which the command can change",
			       options->out, options->workspace);
	if (!!options->workspace + !!options->workspace_name +
		    (options->overlay || options->overlay_id) >
	    1)
		return err_set(
			err, EINVAL, "options",
			"--workspace and --overlay or --continue exclude each other: there is "
			"one /workspace");
	if (options->overlay && options->overlay_id)
		return err_set(err, EINVAL, "options",
			       "--continue %s knows its directory: leave --overlay out",
			       options->overlay_id);
	if (options->ephemeral && (!options->agent || options->keep))
		return err_set(err, EINVAL, "options",
			       options->agent ? "--ephemeral and --keep exclude each other"
					      : "--ephemeral is for --agent");
	for (int i = RUN_PAYLOAD_STDOUT; i <= RUN_PAYLOAD_STDERR; i++)
		if (options->audit[i] == AUDIT_KEEP_FULL && !options->json && !options->detach &&
		    !options->limits.of[LIMIT_OUTPUT].named)
			return err_set(
				err, EINVAL, "options",
				"--audit %s=full keeps all of it: name its most with --output",
				run_payload_names[i]);
	if (options->tty == OPTIONS_TTY_ON && options->detach)
		return err_set(err, EINVAL, "options", "--detach has no terminal");
	for (size_t i = 0; i < options->n_ro; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(options->ro[i].target, options->ro[k].target) == 0)
				return err_set(err, EINVAL, "options", "--ro: two mounts at %s",
					       options->ro[i].target);
	return 0;
}

static int options_words(struct options *options, int argc, char **argv, struct err *err)
{
	int i = 1, r = 0;

	while (r == 0 && !options->help && i < argc && argv[i][0] == '-' && argv[i][1]) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (strcmp(argv[i], "-h") == 0)
			options->help = true;
		else
			r = options_next(options, argc, argv, &i, err);
	}
	options->argv = argv + i;
	options->argc = argc - i;
	return r;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
	const char *profile;
	int r;

	options_defaults(ret);
	r = options_words(ret, argc, argv, err);
	profile = ret->profile;
	/* Its options come before every other, wherever it stands. */
	if (r == 0 && profile && !ret->help) {
		options_defaults(ret);
		r = config_profile(profile, ret, err);
		if (r == 0)
			r = options_words(ret, argc, argv, err);
	}
	return r < 0 || ret->help ? r : options_check(ret, err);
}

bool options_wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}
