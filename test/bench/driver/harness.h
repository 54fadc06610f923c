/*
 * What the drivers of the benchmark share: threads that do one operation for a
 * slice of time, and the commands that ask for it over standard input.
 *
 *   run OP[,OP...] THREADS MILLISECONDS [shared]  -> ok CALLS WALL_NS CPU_NS | no CODE
 *   latency OP CALLS                              -> ok P50_NS P99_NS P999_NS | no CODE
 *
 * Of several operations, each thread does one. CODE says why the operation is not to be had here; the driver goes on.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stddef.h>

#define MAX_THREADS 256
#define MAX_OPS 64
#define MAX_DATA 16384

struct op;

/* One thread of a slice. */
struct worker {
	const struct op *op;
	unsigned long session; /* of PKCS#11 */
	void *context, *key;   /* of OpenSSL */
	unsigned counter;      /* different in each worker */
	unsigned char data[MAX_DATA + 64], in[MAX_DATA + 512], out[MAX_DATA + 512];
	size_t in_len, out_len;
	unsigned long *made; /* objects to destroy when the slice is over */
	size_t made_n, made_cap;
	/* the harness's own */
	unsigned long long end, calls;
	long error;
};

/* An operation. All functions but once may be NULL, and return 0 or a code. */
struct op {
	const char *name;
	unsigned long mechanism, size;
	int which;                          /* of the keys */
	long (*prepare)(const struct op *); /* once in a slice, before all threads */
	long (*begin)(struct worker *);     /* once in a thread, before the clock runs */
	long (*once)(struct worker *);      /* what is counted */
	void (*end)(struct worker *);       /* once in a thread, after the clock */
	int stateless;                      /* threads may share a session */
};

unsigned long long now_wall(void);

/* A session_for gives worker i its session. */
typedef long (*session_for)(struct worker *, int i);

/*
 * serve answers commands until standard input ends. Lines that it does not know
 * go to other, which returns 0 if neither does it.
 */
void serve(const struct op *ops, size_t n, session_for, int (*other)(const char *line));

#endif
