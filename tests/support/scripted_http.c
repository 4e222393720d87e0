#include "tests/support/scripted_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define BODY_MAX        ((size_t)64 << 20)

struct scripted {
	scripted_fn *fn;
	void *arg;
	int listen_fd;
	int stop[2]; /* a pipe: readable once the test ends */
	unsigned port;
	pthread_t acceptor;
	pthread_mutex_t mutex; /* all below, and `fn` */
	unsigned count;
	pthread_t threads[CONNECTIONS_MAX];
	unsigned threads_len;
};

struct connection {
	struct scripted *s;
	int fd;
	struct scripted_request req;
	struct scripted_reply reply;
};

/* Wait until the socket can be read: 1; 0 when the test ends. */
static int readable(struct connection *c, int timeout_ms)
{
	struct pollfd fds[2] = { { .fd = c->s->stop[0], .events = POLLIN },
				 { .fd = c->fd, .events = POLLIN } };

	if (poll(fds, 2, timeout_ms) <= 0)
		return 0;
	return fds[0].revents == 0;
}

static int send_all(struct connection *c, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A line without its end.  -1 when the connection is over. */
static int read_line(struct connection *c, char *out, size_t cap)
{
	size_t len = 0;
	char ch;

	for (;;) {
		if (!readable(c, -1) || recv(c->fd, &ch, 1, 0) != 1)
			return -1;
		if (ch == '\n')
			break;
		if (ch != '\r' && len + 1 < cap)
			out[len++] = ch;
	}
	out[len] = '\0';
	return (int)len;
}

static int read_body(struct connection *c)
{
	struct scripted_request *req = &c->req;
	char value[64];
	size_t got = 0;

	scripted_header(req, "expect", value, sizeof(value));
	if (value[0] != '\0' &&
	    send_all(c, "HTTP/1.1 100 Continue\r\n\r\n", 25) != 0)
		return -1;
	scripted_header(req, "content-length", value, sizeof(value));
	req->body_len = (size_t)strtoul(value, NULL, 10);
	if (req->body_len > BODY_MAX)
		return -1;
	req->body = malloc(req->body_len + 1);
	if (req->body == NULL)
		return -1;
	while (got < req->body_len) {
		ssize_t n;

		if (!readable(c, -1))
			return -1;
		n = recv(c->fd, req->body + got, req->body_len - got, 0);
		if (n <= 0)
			return -1;
		got += (size_t)n;
	}
	req->body[got] = '\0';
	return 0;
}

static int read_request(struct connection *c)
{
	struct scripted_request *req = &c->req;
	char line[8192];
	size_t len = 0;

	memset(req, 0, sizeof(*req));
	if (read_line(c, line, sizeof(line)) <= 0 ||
	    sscanf(line, "%15s %2047s", req->method, req->target) != 2)
		return -1;
	for (;;) {
		int n = read_line(c, line, sizeof(line));

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		if (len + (size_t)n + 2 > sizeof(req->headers))
			return -1;
		memcpy(req->headers + len, line, (size_t)n);
		len += (size_t)n;
		req->headers[len++] = '\n';
		req->headers[len] = '\0';
	}
	return read_body(c);
}

static int write_reply(struct connection *c)
{
	struct scripted_reply *r = &c->reply;
	char head[4096];
	char length[64] = "";
	size_t len = r->body_len;
	int n;

	if (r->hang_s > 0 && !readable(c, (int)r->hang_s * 1000))
		return -1;
	if (r->status == 0)
		return -1;
	if (!r->no_length)
		(void)snprintf(length, sizeof(length),
			       "Content-Length: %zu\r\n", r->body_len);
	n = snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\n%s%s\r\n",
		     r->status, length, r->headers);
	if (n < 0 || (size_t)n >= sizeof(head))
		return -1;
	if (r->cut_head > 0 && r->cut_head < (size_t)n) {
		(void)send_all(c, head, (size_t)n - r->cut_head);
		return -1;
	}
	if (send_all(c, head, (size_t)n) != 0)
		return -1;
	if (strcmp(c->req.method, "HEAD") == 0)
		len = 0;
	if (r->cut > 0 && r->cut < len)
		len = r->cut;
	if (send_all(c, r->body, len) != 0)
		return -1;
	return r->close || (r->cut > 0 && r->cut < r->body_len) ? -1 : 0;
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	int rc = 0;

	while (rc == 0) {
		rc = read_request(c);
		if (rc == 0) {
			memset(&c->reply, 0, sizeof(c->reply));
			pthread_mutex_lock(&c->s->mutex);
			c->req.number = c->s->count++;
			c->s->fn(c->s->arg, &c->req, &c->reply);
			pthread_mutex_unlock(&c->s->mutex);
			rc = write_reply(c);
		}
		free(c->req.body);
		c->req.body = NULL;
	}
	close(c->fd);
	free(c);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct scripted *s = arg;
	struct pollfd fds[2] = { { .fd = s->stop[0], .events = POLLIN },
				 { .fd = s->listen_fd, .events = POLLIN } };

	while (poll(fds, 2, -1) > 0 && fds[0].revents == 0) {
		int fd = accept(s->listen_fd, NULL, NULL);
		struct connection *c;

		if (fd < 0)
			continue;
		c = calloc(1, sizeof(*c));
		pthread_mutex_lock(&s->mutex);
		if (c != NULL && s->threads_len < CONNECTIONS_MAX) {
			c->s = s;
			c->fd = fd;
			if (pthread_create(&s->threads[s->threads_len], NULL,
					   serve, c) == 0) {
				s->threads_len++;
				c = NULL;
				fd = -1;
			}
		}
		pthread_mutex_unlock(&s->mutex);
		free(c);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

int scripted_new(struct scripted **out, scripted_fn *fn, void *arg)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	struct scripted *s;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->fn = fn;
	s->arg = arg;
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listen_fd < 0)
		goto free_server;
	if (bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    listen(s->listen_fd, 16) != 0 ||
	    getsockname(s->listen_fd, (struct sockaddr *)&addr, &len) != 0)
		goto close_listen;
	s->port = ntohs(addr.sin_port);
	if (pipe(s->stop) != 0)
		goto close_listen;
	(void)pthread_mutex_init(&s->mutex, NULL);
	if (pthread_create(&s->acceptor, NULL, accept_all, s) != 0)
		goto close_pipe;
	*out = s;
	return 0;

close_pipe:
	close(s->stop[0]);
	close(s->stop[1]);
close_listen:
	close(s->listen_fd);
free_server:
	free(s);
	return -EIO;
}

unsigned scripted_port(const struct scripted *s)
{
	return s->port;
}

unsigned scripted_count(struct scripted *s)
{
	unsigned n;

	pthread_mutex_lock(&s->mutex);
	n = s->count;
	pthread_mutex_unlock(&s->mutex);
	return n;
}

void scripted_free(struct scripted *s)
{
	unsigned i;

	close(s->stop[1]); /* which every poll() sees */
	pthread_join(s->acceptor, NULL);
	for (i = 0; i < s->threads_len; i++)
		pthread_join(s->threads[i], NULL);
	close(s->stop[0]);
	close(s->listen_fd);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

void scripted_header(const struct scripted_request *req, const char *name,
		     char *out, size_t cap)
{
	size_t name_len = strlen(name);
	const char *p;

	out[0] = '\0';
	for (p = req->headers; *p; p = strchr(p, '\n') + 1) {
		const char *end = strchr(p, '\n');
		size_t len;

		if (strncasecmp(p, name, name_len) != 0 || p[name_len] != ':')
			continue;
		p += name_len + 1;
		p += strspn(p, " ");
		len = (size_t)(end - p);
		if (len >= cap)
			len = cap - 1;
		memcpy(out, p, len);
		out[len] = '\0';
		return;
	}
}
