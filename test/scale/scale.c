/*
 * What depends on how many objects there are, and on how many write at once,
 * measured through the C API of one module.
 *
 *   gcc -O2 -o build/scale test/scale/scale.c -ldl -lpthread
 *   build/scale MODULE PIN COMMAND...   commands run in order, in one process:
 *     fill N             makes token objects until there are N, by 64 threads
 *     objects N          says that there are N, made by fill
 *     create THREADS MS  C_CreateObject of token objects (AES keys)
 *     pairs THREADS MS   C_CreateObject and C_DestroyObject of token objects
 *     session THREADS MS C_CreateObject and C_DestroyObject of session objects
 *     generate THREADS MS  C_GenerateKey of token objects (AES)
 *     find WHAT MS       searches, by one thread: see once_find
 *     read MS            C_GetAttributeValue of objects at random
 *     count              how many objects a search for all of them finds
 *     memory             resident KiB of the process
 *
 * It begins with what loading, C_Initialize, C_OpenSession and C_Login took.
 * Several at once, on one HSM, show how processes share it.
 *
 * Ten objects each have a label in common. Every thousandth is a data object,
 * the rest are AES keys.
 */
#include "../../include/pkcs11.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 256
#define MAX_SAMPLES (1 << 16)

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static const char *pin;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_ULONG objects; /* those that fill knows of: 1 to objects */

static void must(const char *what, CK_RV rv)
{
	if (rv != CKR_OK) {
		fprintf(stderr, "scale: %s: 0x%lx\n", what, (unsigned long)rv);
		exit(1);
	}
}

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3; /* microseconds */
}

static long resident_kib(void)
{
	long pages = 0, total = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static CK_SESSION_HANDLE open_session(void)
{
	CK_SESSION_HANDLE s;
	must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	return s;
}

static void choose_slot(void)
{
	CK_SLOT_ID list[16];
	CK_ULONG n = 16;
	must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, list, &n));
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;
		must("C_GetTokenInfo", p11->C_GetTokenInfo(list[i], &info));
		if (info.flags & CKF_USER_PIN_INITIALIZED) {
			slot = list[i];
			return;
		}
	}
	must("no initialised token", CKR_TOKEN_NOT_PRESENT);
}

static CK_SESSION_HANDLE start(const char *path)
{
	double t0 = now(CLOCK_MONOTONIC);
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		fprintf(stderr, "scale: %s\n", dlerror());
		exit(1);
	}
	CK_C_GetFunctionList get;
	*(void **)&get = dlsym(so, "C_GetFunctionList");
	must("C_GetFunctionList", get(&p11));
	double t1 = now(CLOCK_MONOTONIC);
	CK_C_INITIALIZE_ARGS args = {0};
	args.flags = CKF_OS_LOCKING_OK;
	must("C_Initialize", p11->C_Initialize(&args));
	double t2 = now(CLOCK_MONOTONIC);
	choose_slot();
	double t3 = now(CLOCK_MONOTONIC);
	CK_SESSION_HANDLE s = open_session();
	double t4 = now(CLOCK_MONOTONIC);
	must("C_Login", p11->C_Login(s, CKU_USER, (CK_UTF8CHAR *)(size_t)pin, strlen(pin)));
	double t5 = now(CLOCK_MONOTONIC);
	printf("start: dlopen %.2f ms, C_Initialize %.2f ms, slots %.2f ms, C_OpenSession %.3f ms, C_Login %.2f ms, CPU %.2f ms in all\n",
	       (t1 - t0) / 1e3, (t2 - t1) / 1e3, (t3 - t2) / 1e3, (t4 - t3) / 1e3, (t5 - t4) / 1e3,
	       now(CLOCK_PROCESS_CPUTIME_ID) / 1e3);
	return s;
}

/* make creates object number id, and destroys it if told to. */
static void make(CK_SESSION_HANDLE s, CK_BBOOL *token, CK_ULONG id, int destroy)
{
	CK_OBJECT_CLASS key = CKO_SECRET_KEY, data = CKO_DATA;
	CK_KEY_TYPE aes = CKK_AES;
	CK_BYTE value[32] = {1};
	char label[32];
	memcpy(value, &id, sizeof id);
	int n = snprintf(label, sizeof label, "l%lu", (unsigned long)(id / 10));
	CK_ATTRIBUTE keys[] = {
		{CKA_CLASS, &key, sizeof key}, {CKA_LABEL, label, (CK_ULONG)n}, {CKA_TOKEN, token, 1}, {CKA_PRIVATE, &yes, 1},
		{CKA_VALUE, value, sizeof value}, {CKA_KEY_TYPE, &aes, sizeof aes}, {CKA_ID, &id, sizeof id},
	};
	CK_ATTRIBUTE datas[] = {
		{CKA_CLASS, &data, sizeof data}, {CKA_LABEL, label, (CK_ULONG)n}, {CKA_TOKEN, token, 1}, {CKA_PRIVATE, &yes, 1},
		{CKA_VALUE, value, sizeof value},
	};
	CK_OBJECT_HANDLE o;
	if (id % 1000 == 999)
		must("C_CreateObject", p11->C_CreateObject(s, datas, 5, &o));
	else
		must("C_CreateObject", p11->C_CreateObject(s, keys, 7, &o));
	if (destroy)
		must("C_DestroyObject", p11->C_DestroyObject(s, o));
}

struct worker {
	CK_SESSION_HANDLE session;
	CK_ULONG number;
	void (*once)(struct worker *);
	const char *what;
	double end, slowest;
	unsigned long calls;
	float sample[MAX_SAMPLES];
};

static _Atomic CK_ULONG next_id;

static void once_create(struct worker *w) { make(w->session, &yes, atomic_fetch_add(&next_id, 1), 0); }
static void once_pairs(struct worker *w) { make(w->session, &yes, 1UL << 40 | w->number << 32 | w->calls, 1); }
static void once_session(struct worker *w) { make(w->session, &no, 1UL << 40 | w->number << 32 | w->calls, 1); }

static void once_generate(struct worker *w)
{
	CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ULONG len = 32;
	CK_ATTRIBUTE t[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_VALUE_LEN, &len, sizeof len}};
	CK_OBJECT_HANDLE o;
	must("C_GenerateKey", p11->C_GenerateKey(w->session, &m, t, 3, &o));
}

static void once_fill(struct worker *w)
{
	CK_ULONG id = atomic_fetch_add(&next_id, 1);
	if (id > objects)
		w->end = 0;
	else
		make(w->session, &yes, id, 0);
}

static unsigned long search(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_ULONG page, int all)
{
	static __thread CK_OBJECT_HANDLE o[1024];
	unsigned long found = 0;
	CK_ULONG got;
	must("C_FindObjectsInit", p11->C_FindObjectsInit(s, t, n));
	do {
		must("C_FindObjects", p11->C_FindObjects(s, o, page, &got));
		found += got;
	} while (all && got);
	must("C_FindObjectsFinal", p11->C_FindObjectsFinal(s));
	return found;
}

static void once_find(struct worker *w)
{
	CK_OBJECT_CLASS key = CKO_SECRET_KEY, data = CKO_DATA;
	CK_KEY_TYPE aes = CKK_AES;
	CK_ULONG id = 1 + (CK_ULONG)random() % objects;
	if (id % 1000 == 999)
		id--;
	char label[32];
	int n = snprintf(label, sizeof label, "l%lu", (unsigned long)(id / 10));
	CK_ATTRIBUTE by_id = {CKA_ID, &id, sizeof id}, by_label = {CKA_LABEL, label, (CK_ULONG)n};
	CK_ATTRIBUTE keys = {CKA_CLASS, &key, sizeof key}, datas = {CKA_CLASS, &data, sizeof data}, type = {CKA_KEY_TYPE, &aes, sizeof aes};
	CK_ATTRIBUTE three[] = {keys, type, by_label}, unlucky[] = {datas, type}, token[] = {{CKA_TOKEN, &yes, 1}, datas};
	CK_ATTRIBUTE attribute[] = {by_label, {CKA_ENCRYPT, &no, 1}};
	unsigned long found = 1;
	if (!strcmp(w->what, "id"))
		found = search(w->session, &by_id, 1, 4, 0);
	else if (!strcmp(w->what, "label"))
		found = search(w->session, &by_label, 1, 32, 1);
	else if (!strcmp(w->what, "several")) /* class, type and label */
		found = search(w->session, three, 3, 32, 1);
	else if (!strcmp(w->what, "unlucky")) /* few of a class, none of them with what all others have */
		search(w->session, unlucky, 2, 32, 1);
	else if (!strcmp(w->what, "data")) /* a class of few */
		search(w->session, token, 2, 1024, 1);
	else if (!strcmp(w->what, "attribute")) /* one that is not indexed, of those with a label */
		search(w->session, attribute, 2, 32, 1);
	else if (!strcmp(w->what, "none")) { /* an identifier that nothing has */
		id += 1UL << 50;
		search(w->session, &by_id, 1, 4, 0);
	} else if (!strcmp(w->what, "page")) /* the first 32 of a class of many */
		found = search(w->session, &keys, 1, 32, 0);
	else if (!strcmp(w->what, "class")) /* all of them */
		found = search(w->session, &keys, 1, 1024, 1);
	else
		must(w->what, CKR_ARGUMENTS_BAD);
	if (!found)
		must("nothing found", CKR_GENERAL_ERROR);
}

static void once_read(struct worker *w)
{
	CK_OBJECT_CLASS class;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, NULL, 0}};
	static CK_OBJECT_HANDLE *all;
	static CK_ULONG n;
	if (!all) {
		all = calloc(objects + 1024, sizeof *all);
		CK_ULONG got;
		must("C_FindObjectsInit", p11->C_FindObjectsInit(w->session, NULL, 0));
		do {
			must("C_FindObjects", p11->C_FindObjects(w->session, all + n, 1024, &got));
			n += got;
		} while (got && n < objects);
		must("C_FindObjectsFinal", p11->C_FindObjectsFinal(w->session));
	}
	must("C_GetAttributeValue", p11->C_GetAttributeValue(w->session, all[(CK_ULONG)random() % n], t, 2));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	double t = now(CLOCK_MONOTONIC);
	while (t < w->end) {
		w->once(w);
		double after = now(CLOCK_MONOTONIC);
		w->sample[w->calls++ % MAX_SAMPLES] = (float)(after - t);
		if (after - t > w->slowest)
			w->slowest = after - t;
		t = after;
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static struct worker *workers;

static void run(const char *name, const char *what, void (*once)(struct worker *), int threads, double ms)
{
	static CK_SESSION_HANDLE sessions[MAX_THREADS];
	if (threads < 1 || threads > MAX_THREADS)
		must("threads", CKR_ARGUMENTS_BAD);
	if (!workers)
		workers = calloc(MAX_THREADS, sizeof *workers);
	pthread_t id[MAX_THREADS];
	for (int i = 0; i < threads; i++) {
		struct worker *w = &workers[i];
		if (!sessions[i])
			sessions[i] = open_session();
		w->session = sessions[i];
		w->number = (CK_ULONG)(getpid() % 100000) << 8 | (CK_ULONG)i;
		w->once = once;
		w->what = what;
		w->calls = 0;
		w->slowest = 0;
	}
	double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < threads; i++) {
		workers[i].end = wall + ms * 1e3;
		if (pthread_create(&id[i], NULL, work, &workers[i]))
			must("pthread_create", CKR_HOST_MEMORY);
	}
	unsigned long calls = 0;
	double slowest = 0;
	for (int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		calls += workers[i].calls;
		if (workers[i].slowest > slowest)
			slowest = workers[i].slowest;
	}
	wall = now(CLOCK_MONOTONIC) - wall;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	size_t n = 0;
	for (int i = 0; i < threads; i++)
		n += workers[i].calls < MAX_SAMPLES ? workers[i].calls : MAX_SAMPLES;
	float *all = malloc((n + 1) * sizeof *all);
	n = 0;
	for (int i = 0; i < threads; i++)
		for (unsigned long k = 0; k < workers[i].calls && k < MAX_SAMPLES; k++)
			all[n++] = workers[i].sample[k];
	qsort(all, n, sizeof *all, by_value);
	printf("%s %s: %d threads, %lu calls, %.0f a second, CPU %.1f us each, p50 %.1f us, p99 %.1f us, p99.9 %.1f us, slowest %.1f ms\n",
	       name, what, threads, calls, (double)calls / wall * 1e6, cpu / (double)(calls ? calls : 1),
	       (double)all[n / 2], (double)all[n * 99 / 100], (double)all[n * 999 / 1000], slowest / 1e3);
	fflush(stdout);
	free(all);
}

static CK_ULONG count(CK_SESSION_HANDLE s) { return search(s, NULL, 0, 1024, 1); }

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: scale MODULE PIN COMMAND...\n");
		return 2;
	}
	pin = argv[2];
	CK_SESSION_HANDLE s = start(argv[1]);
	for (int i = 3; i < argc; i++) {
		const char *c = argv[i];
		int left = argc - i - 1;
		if (!strcmp(c, "memory")) {
			printf("memory: %ld KiB resident\n", resident_kib());
		} else if (!strcmp(c, "count")) {
			objects = count(s);
			printf("count: %lu objects\n", (unsigned long)objects);
		} else if (!strcmp(c, "objects") && left >= 1) {
			objects = strtoul(argv[++i], NULL, 10);
		} else if (!strcmp(c, "fill") && left >= 1) {
			CK_ULONG have = count(s);
			objects = strtoul(argv[++i], NULL, 10);
			atomic_store(&next_id, have + 1);
			run(c, argv[i], once_fill, 64, 1e9);
		} else if (!strcmp(c, "find") && left >= 2) {
			const char *what = argv[++i];
			run(c, what, once_find, 1, atof(argv[++i]));
		} else if (!strcmp(c, "read") && left >= 1) {
			run(c, "", once_read, 1, atof(argv[++i]));
		} else if (left >= 2) {
			int threads = atoi(argv[++i]);
			double ms = atof(argv[++i]);
			atomic_store(&next_id, 1UL << 41 | (CK_ULONG)getpid() << 24);
			if (!strcmp(c, "create"))
				run(c, "", once_create, threads, ms);
			else if (!strcmp(c, "pairs"))
				run(c, "", once_pairs, threads, ms);
			else if (!strcmp(c, "session"))
				run(c, "", once_session, threads, ms);
			else if (!strcmp(c, "generate"))
				run(c, "", once_generate, threads, ms);
			else
				must(c, CKR_ARGUMENTS_BAD);
		} else {
			must(c, CKR_ARGUMENTS_BAD);
		}
	}
	must("C_Finalize", p11->C_Finalize(NULL));
	return 0;
}
