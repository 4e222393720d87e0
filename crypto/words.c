#include "crypto/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bytes.h"

static int is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * One word of a line that starts with one: as a shell would read it, were there
 * nothing to expand.  It takes no more room than it has in the line.
 */
static int word_copy(const char **line, char **to)
{
	const char *p = *line;
	char *out = *to, quote = '\0';

	for (; *p && (quote || !is_blank(*p)); p++) {
		if (quote && *p == quote) {
			quote = '\0';
			continue;
		}
		if (!quote && (*p == '\'' || *p == '"')) {
			quote = *p;
			continue;
		}
		if (*p == '\\' && quote != '\'') {
			/* Within "..." it stands for itself before others. */
			if (!quote || (p[1] && strchr("\"\\$`", p[1])))
				p++;
			if (!*p)
				return -EINVAL;
		}
		*out++ = *p;
	}
	*out++ = '\0';
	*line = p;
	*to = out;
	return quote ? -EINVAL : 0;
}

void words_free(struct words *w)
{
	if (w->argv)
		bytes_wipe(w->argv, w->size);
	free(w->argv);
}

int words_split(struct words *w, const char *line)
{
	size_t len = strlen(line), most = (len + 1) / 2, n = 0;
	char *text;
	int err = 0;

	w->size = (most + 1) * sizeof(*w->argv) + len + 1;
	w->argv = calloc(1, w->size);
	if (!w->argv)
		return -ENOMEM;
	text = (char *)(w->argv + most + 1);
	while (!err) {
		while (is_blank(*line))
			line++;
		if (!*line)
			return 0;
		w->argv[n++] = text;
		err = word_copy(&line, &text);
	}
	words_free(w);
	return err;
}
