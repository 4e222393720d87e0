#ifndef FS_KEYSOURCE_H
#define FS_KEYSOURCE_H

#include <stddef.h>

#include "crypto/aead.h"
#include "crypto/bytes.h"
#include "fs/options.h"

/*
 * Where the master key of the cache comes from.  Key text is as fs/keytext.h
 * has it; a key whose bytes are all the same is refused.
 */
#define KEYSOURCE_VARIABLE   "DG_CACHE_ENCRYPTION_KEY"
#define KEYSOURCE_COMMAND_MS 8000 /* a command may take so long */

enum keysource_from {
	KEYSOURCE_EPHEMERAL, /* a random one, known to this mount alone */
	KEYSOURCE_ENVIRONMENT, /* what keysource_take_environment() found */
	KEYSOURCE_FILE, /* key text, or exactly 32 bytes as they are */
	KEYSOURCE_COMMAND /* key text on its standard output */
};

struct keysource {
	enum keysource_from from;
	/*
	 * Borrowed: the key text, the path (absolute, if it is read again
	 * after a chdir) or the command line; NULL if ephemeral.
	 */
	const char *what;
};

/*
 * Get the key.  `out` should lie in memory of secret_new() and stays as it is
 * on error.  From any thread, any number of times.
 *
 * A file must be ours or root's and closed to all others.  A command is not
 * given to a shell: its line is split into words with '...', "..." and \, and
 * nothing is expanded; its program has an absolute path or is found in $PATH.
 * It gets our environment, our standard error and no input, and has
 * KEYSOURCE_COMMAND_MS to close its output and end; then all of its process
 * group is killed.  SIGCHLD must not be ignored.
 *
 * 0, or with a line in `why` that holds nothing of the key: -EINVAL not a key,
 * or a command line that cannot be split; -ENOENT, -EACCES, ... as open(2) or
 * execve(2) say; -EACCES others may use the file; -EPERM it is somebody
 * else's; -EFBIG too much; -ENODATA nothing; -ETIMEDOUT; -EIO the command
 * failed, or the system has no random bytes; -ENOMEM.
 */
MUST_CHECK int keysource_load(const struct keysource *s, struct aead_key *out,
			      char why[OPTION_WHY]);

/* The same, with `limit_ms` for a command. */
MUST_CHECK int keysource_load_within(const struct keysource *s, int limit_ms,
				     struct aead_key *out,
				     char why[OPTION_WHY]);

/*
 * Take the value of $DG_CACHE_ENCRYPTION_KEY out of the environment, where
 * /proc/PID/environ and all our children have it from.  *out is the caller's,
 * to be given back with secret_free(*out, strlen(*out) + 1); NULL if the
 * variable is unset or empty.  Before there is a second thread.
 * 0; -ENOMEM, and the variable is still there.
 */
MUST_CHECK int keysource_take_environment(char **out);

/*
 * For the log: "file /etc/key", "command vault-get", ...  `len` bytes at most,
 * a NUL among them.  Of a command only the program: the rest may be secret.
 */
void keysource_describe(const struct keysource *s, char *buf, size_t len);

#endif
