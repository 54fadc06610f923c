#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct worker workers[MAX_THREADS];
static pthread_barrier_t ready, over;

static unsigned long long now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
}

unsigned long long now_wall(void) { return now(CLOCK_MONOTONIC); }

static const struct op *find_op(const struct op *ops, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	return NULL;
}

/* What a slice does: thread i does mix[i % n]. */
struct mix {
	const struct op *op[MAX_OPS];
	int n;
};

/* Takes the list of names apart; 0 if one of them is nothing. */
static int find_ops(struct mix *mix, const struct op *ops, size_t n, char *names)
{
	char *rest = NULL;
	mix->n = 0;
	for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
		const struct op *op = find_op(ops, n, name);
		if (!op || mix->n == MAX_OPS)
			return 0;
		mix->op[mix->n++] = op;
	}
	return mix->n > 0;
}

/* One call comes before the clock: what is made on first use is made then. */
static long warm(struct worker *w)
{
	long rv = w->op->begin ? w->op->begin(w) : 0;
	return rv ? rv : w->op->once(w);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	w->error = warm(w);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&ready); /* the clock runs from here */
	for (int more = !w->error; more; more = !w->error && now_wall() < w->end) {
		w->error = w->op->once(w);
		w->calls++;
	}
	pthread_barrier_wait(&over);
	if (w->op->end)
		w->op->end(w);
	return NULL;
}

static void set_up(const struct op *op, struct worker *w, int i)
{
	memset(w, 0, offsetof(struct worker, data));
	w->in_len = w->out_len = w->made_n = w->calls = 0;
	w->error = 0;
	w->op = op;
	w->counter = (unsigned)(i + 1) * 1000003u;
	w->data[0] = (unsigned char)i;
}

static long set_up_all(const struct mix *mix, int threads, int shared, session_for session)
{
	long rv = 0;
	for (int i = 0; !rv && i < mix->n; i++) {
		if (shared && !mix->op[i]->stateless)
			return -1;
		rv = mix->op[i]->prepare ? mix->op[i]->prepare(mix->op[i]) : 0;
	}
	for (int i = 0; !rv && i < threads; i++) {
		set_up(mix->op[i % mix->n], &workers[i], i);
		if (session)
			rv = session(&workers[i], shared ? 0 : i);
	}
	return rv;
}

static void slice(const struct mix *mix, int threads, int ms, int shared, session_for session)
{
	long rv = set_up_all(mix, threads, shared, session);
	if (rv) {
		printf("no 0x%lx\n", (unsigned long)rv);
		return;
	}
	pthread_t id[MAX_THREADS];
	pthread_barrier_init(&ready, NULL, (unsigned)threads + 1);
	pthread_barrier_init(&over, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, work, &workers[i])) {
			perror("driver: pthread_create");
			exit(1);
		}
	pthread_barrier_wait(&ready);
	unsigned long long wall = now_wall(), cpu = now(CLOCK_PROCESS_CPUTIME_ID), calls = 0;
	for (int i = 0; i < threads; i++)
		workers[i].end = wall + (unsigned long long)ms * 1000000ULL;
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&over);
	wall = now_wall() - wall;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	for (int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		calls += workers[i].calls;
		if (workers[i].error)
			rv = workers[i].error;
	}
	pthread_barrier_destroy(&ready);
	pthread_barrier_destroy(&over);
	if (rv)
		printf("no 0x%lx\n", (unsigned long)rv);
	else
		printf("ok %llu %llu %llu\n", calls, wall, cpu);
}

static int ascending(const void *a, const void *b)
{
	unsigned long long x = *(const unsigned long long *)a, y = *(const unsigned long long *)b;
	return (x > y) - (x < y);
}

/* Each call's own time, the clock's reading (some 25 ns) included. */
static void latency(const struct mix *mix, size_t calls, session_for session)
{
	struct worker *w = &workers[0];
	const struct op *op = mix->op[0];
	long rv = set_up_all(mix, 1, 0, session);
	unsigned long long *took = malloc(calls * sizeof *took);
	if (!rv)
		rv = warm(w);
	for (size_t i = 0; !rv && took && i < calls; i++) {
		unsigned long long t = now_wall();
		rv = op->once(w);
		took[i] = now_wall() - t;
	}
	if (op->end)
		op->end(w);
	if (rv || !took) {
		printf("no 0x%lx\n", (unsigned long)rv);
	} else {
		qsort(took, calls, sizeof *took, ascending);
		printf("ok %llu %llu %llu\n", took[calls / 2], took[calls * 99 / 100], took[calls * 999 / 1000]);
	}
	free(took);
}

void serve(const struct op *ops, size_t n, session_for session, int (*other)(const char *line))
{
	char line[1024], names[1000], shared[16];
	while (fgets(line, sizeof line, stdin)) {
		int threads, ms, words;
		size_t calls;
		struct mix mix;
		if ((words = sscanf(line, "run %999s %d %d %15s", names, &threads, &ms, shared)) >= 3) {
			if (find_ops(&mix, ops, n, names) && threads >= 1 && threads <= MAX_THREADS)
				slice(&mix, threads, ms, words == 4 && strcmp(shared, "shared") == 0, session);
			else
				printf("no operation-or-threads\n");
		} else if (sscanf(line, "latency %999s %zu", names, &calls) == 2) {
			if (find_ops(&mix, ops, n, names) && calls > 0)
				latency(&mix, calls, session);
			else
				printf("no operation\n");
		} else if (!other || !other(line)) {
			fprintf(stderr, "driver: what is %s", line);
			exit(2);
		}
		fflush(stdout);
	}
}
