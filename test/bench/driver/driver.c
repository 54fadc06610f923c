/*
 * The benchmark's driver: one process per module, asked over standard input for
 * short runs of one operation. It calls the module as any C program does.
 *
 *   driver MODULE PIN            answers commands, one per line:
 *     run OP THREADS MILLISECONDS      -> ok CALLS WALL_NS CPU_NS
 *     populate N                       -> ok N       (token objects, by CKA_ID)
 *   driver MODULE PIN once N     one start of a program: dlopen, C_Initialize,
 *                                C_Login, first search; prints nanoseconds and
 *                                resident KiB added
 */
#include "../../../include/pkcs11.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static const char *pin;

static void die(const char *what, CK_RV rv)
{
	fprintf(stderr, "driver: %s: 0x%lx\n", what, (unsigned long)rv);
	exit(1);
}

static void must(const char *what, CK_RV rv)
{
	if (rv != CKR_OK)
		die(what, rv);
}

static unsigned long long now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
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

static void load(const char *path)
{
	void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so) {
		fprintf(stderr, "driver: %s\n", dlerror());
		exit(1);
	}
	CK_C_GetFunctionList get;
	*(void **)&get = dlsym(so, "C_GetFunctionList");
	if (!get || get(&p11) != CKR_OK)
		die("C_GetFunctionList", CKR_GENERAL_ERROR);
}

static void initialize(void)
{
	CK_C_INITIALIZE_ARGS args = {0};
	args.flags = CKF_OS_LOCKING_OK;
	must("C_Initialize", p11->C_Initialize(&args));
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
	die("no initialised token", CKR_TOKEN_NOT_PRESENT);
}

static CK_SESSION_HANDLE open_session(void)
{
	CK_SESSION_HANDLE s;
	must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	return s;
}

static void login(CK_SESSION_HANDLE s)
{
	CK_RV rv = p11->C_Login(s, CKU_USER, (CK_UTF8CHAR *)(size_t)pin, strlen(pin));
	if (rv != CKR_USER_ALREADY_LOGGED_IN)
		must("C_Login", rv);
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

/* Keys of the operations, made on first use, as token objects. */
struct pair {
	CK_OBJECT_HANDLE public_key, private_key;
};

static struct pair rsa_pair(CK_SESSION_HANDLE s, CK_ULONG bits)
{
	CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_BYTE e[] = {1, 0, 1};
	CK_ATTRIBUTE pub[] = {{CKA_TOKEN, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_PUBLIC_EXPONENT, e, 3}, {CKA_VERIFY, &yes, 1}};
	CK_ATTRIBUTE prv[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_SIGN, &yes, 1}};
	struct pair k;
	must("RSA C_GenerateKeyPair", p11->C_GenerateKeyPair(s, &m, pub, 4, prv, 4, &k.public_key, &k.private_key));
	return k;
}

static struct pair ec_pair(CK_SESSION_HANDLE s, int p384)
{
	static CK_BYTE p256_oid[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
	static CK_BYTE p384_oid[] = {6, 5, 0x2b, 0x81, 4, 0, 0x22};
	CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE pub[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256_oid, sizeof p256_oid}, {CKA_VERIFY, &yes, 1}};
	CK_ATTRIBUTE prv[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_SIGN, &yes, 1}};
	struct pair k;
	if (p384) {
		pub[1].pValue = p384_oid;
		pub[1].ulValueLen = sizeof p384_oid;
	}
	must("EC C_GenerateKeyPair", p11->C_GenerateKeyPair(s, &m, pub, 3, prv, 4, &k.public_key, &k.private_key));
	return k;
}

static CK_OBJECT_HANDLE secret_key(CK_SESSION_HANDLE s, CK_MECHANISM_TYPE type, CK_ATTRIBUTE_TYPE usage)
{
	CK_MECHANISM m = {type, NULL, 0};
	CK_ULONG len = 32;
	CK_ATTRIBUTE t[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_VALUE_LEN, &len, sizeof len}, {usage, &yes, 1}};
	CK_OBJECT_HANDLE k;
	must("C_GenerateKey", p11->C_GenerateKey(s, &m, t, 4, &k));
	return k;
}

struct op; /* an operation: what one call of it does */
struct worker {
	const struct op *op;
	CK_SESSION_HANDLE session;
	unsigned long long end, calls;
	CK_BYTE data[16384 + 64], out[16384 + 64], signature[512];
	CK_ULONG signature_len;
	unsigned counter;
};

struct op {
	const char *name;
	CK_MECHANISM_TYPE mechanism;
	CK_ULONG size;
	void (*prepare)(const struct op *, CK_SESSION_HANDLE);
	void (*once)(struct worker *);
	int which;
};

static struct pair rsa[3], ec[2];
static CK_OBJECT_HANDLE aes, mac;
static CK_ULONG populated;

static void prepare_rsa(const struct op *op, CK_SESSION_HANDLE s)
{
	static const CK_ULONG bits[] = {2048, 3072, 4096};
	if (!rsa[op->which].private_key)
		rsa[op->which] = rsa_pair(s, bits[op->which]);
}

static void prepare_ec(const struct op *op, CK_SESSION_HANDLE s)
{
	if (!ec[op->which].private_key)
		ec[op->which] = ec_pair(s, op->which);
}

static void prepare_aes(const struct op *op, CK_SESSION_HANDLE s)
{
	(void)op;
	if (!aes)
		aes = secret_key(s, CKM_AES_KEY_GEN, CKA_ENCRYPT);
}

static void prepare_mac(const struct op *op, CK_SESSION_HANDLE s)
{
	(void)op;
	if (!mac)
		mac = secret_key(s, CKM_GENERIC_SECRET_KEY_GEN, CKA_SIGN);
}

static void sign_with(struct worker *w, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM m = {w->op->mechanism, NULL, 0};
	w->signature_len = sizeof w->signature;
	must("C_SignInit", p11->C_SignInit(w->session, &m, key));
	must("C_Sign", p11->C_Sign(w->session, w->data, w->op->size, w->signature, &w->signature_len));
}

static void once_rsa_sign(struct worker *w) { sign_with(w, rsa[w->op->which].private_key); }
static void once_ec_sign(struct worker *w) { sign_with(w, ec[w->op->which].private_key); }
static void once_mac(struct worker *w) { sign_with(w, mac); }

static void verify_with(struct worker *w, CK_OBJECT_HANDLE private_key, CK_OBJECT_HANDLE public_key)
{
	CK_MECHANISM m = {w->op->mechanism, NULL, 0};
	if (!w->signature_len)
		sign_with(w, private_key);
	must("C_VerifyInit", p11->C_VerifyInit(w->session, &m, public_key));
	must("C_Verify", p11->C_Verify(w->session, w->data, w->op->size, w->signature, w->signature_len));
}

static void once_rsa_verify(struct worker *w) { verify_with(w, rsa[w->op->which].private_key, rsa[w->op->which].public_key); }
static void once_ec_verify(struct worker *w) { verify_with(w, ec[w->op->which].private_key, ec[w->op->which].public_key); }

static void once_gcm(struct worker *w)
{
	CK_BYTE iv[12] = {0};
	memcpy(iv, &w->counter, sizeof w->counter);
	w->counter++;
	CK_GCM_PARAMS p = {0};
	p.pIv = iv;
	p.ulIvLen = sizeof iv;
	p.ulIvBits = 96;
	p.ulTagBits = 128;
	CK_MECHANISM m = {CKM_AES_GCM, &p, sizeof p};
	CK_ULONG n = sizeof w->out;
	must("C_EncryptInit", p11->C_EncryptInit(w->session, &m, aes));
	must("C_Encrypt", p11->C_Encrypt(w->session, w->data, w->op->size, w->out, &n));
}

static void once_digest(struct worker *w)
{
	CK_MECHANISM m = {w->op->mechanism, NULL, 0};
	CK_ULONG n = sizeof w->out;
	must("C_DigestInit", p11->C_DigestInit(w->session, &m));
	must("C_Digest", p11->C_Digest(w->session, w->data, w->op->size, w->out, &n));
}

static void once_random(struct worker *w)
{
	must("C_GenerateRandom", p11->C_GenerateRandom(w->session, w->out, w->op->size));
}

static void once_session(struct worker *w)
{
	(void)w;
	must("C_CloseSession", p11->C_CloseSession(open_session()));
}

static void create(CK_SESSION_HANDLE s, CK_BBOOL *token, CK_ULONG id, int destroy)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_BYTE value[32] = {1};
	memcpy(value, &id, sizeof id);
	CK_ATTRIBUTE t[] = {
		{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, token, 1},
		{CKA_PRIVATE, &yes, 1}, {CKA_ID, &id, sizeof id}, {CKA_VALUE, value, sizeof value},
	};
	CK_OBJECT_HANDLE o;
	must("C_CreateObject", p11->C_CreateObject(s, t, 6, &o));
	if (destroy)
		must("C_DestroyObject", p11->C_DestroyObject(s, o));
}

static void once_create_session(struct worker *w) { create(w->session, &no, w->counter++, 1); }
static void once_create_token(struct worker *w) { create(w->session, &yes, 0x7fff0000UL + w->counter++, 1); }

static void find(CK_SESSION_HANDLE s, CK_ULONG id)
{
	CK_ATTRIBUTE t[] = {{CKA_ID, &id, sizeof id}};
	CK_OBJECT_HANDLE o[4];
	CK_ULONG n = 0;
	must("C_FindObjectsInit", p11->C_FindObjectsInit(s, t, 1));
	must("C_FindObjects", p11->C_FindObjects(s, o, 4, &n));
	must("C_FindObjectsFinal", p11->C_FindObjectsFinal(s));
	if (n != 1)
		die("search found another number of objects than one", n);
}

static void once_find(struct worker *w)
{
	w->counter = w->counter * 1103515245u + 12345u;
	find(w->session, 1 + (w->counter >> 8) % populated);
}

static const struct op ops[] = {
	{"rsa2048-sign", CKM_RSA_PKCS, 51, prepare_rsa, once_rsa_sign, 0},
	{"rsa3072-sign", CKM_RSA_PKCS, 51, prepare_rsa, once_rsa_sign, 1},
	{"rsa4096-sign", CKM_RSA_PKCS, 51, prepare_rsa, once_rsa_sign, 2},
	{"rsa2048-verify", CKM_RSA_PKCS, 51, prepare_rsa, once_rsa_verify, 0},
	{"p256-sign", CKM_ECDSA, 32, prepare_ec, once_ec_sign, 0},
	{"p256-verify", CKM_ECDSA, 32, prepare_ec, once_ec_verify, 0},
	{"p384-sign", CKM_ECDSA, 48, prepare_ec, once_ec_sign, 1},
	{"p384-verify", CKM_ECDSA, 48, prepare_ec, once_ec_verify, 1},
	{"aes256-gcm-16", CKM_AES_GCM, 16, prepare_aes, once_gcm, 0},
	{"aes256-gcm-1024", CKM_AES_GCM, 1024, prepare_aes, once_gcm, 0},
	{"aes256-gcm-16384", CKM_AES_GCM, 16384, prepare_aes, once_gcm, 0},
	{"sha256-64", CKM_SHA256, 64, NULL, once_digest, 0},
	{"sha256-16384", CKM_SHA256, 16384, NULL, once_digest, 0},
	{"hmac-sha256-64", CKM_SHA256_HMAC, 64, prepare_mac, once_mac, 0},
	{"hmac-sha256-16384", CKM_SHA256_HMAC, 16384, prepare_mac, once_mac, 0},
	{"random-32", 0, 32, NULL, once_random, 0},
	{"random-4096", 0, 4096, NULL, once_random, 0},
	{"session-open-close", 0, 0, NULL, once_session, 0},
	{"create-session-object", 0, 0, NULL, once_create_session, 0},
	{"create-token-object", 0, 0, NULL, once_create_token, 0},
	{"find-by-id", 0, 0, NULL, once_find, 0},
};

static void *work(void *arg)
{
	struct worker *w = arg;
	while (now(CLOCK_MONOTONIC) < w->end) {
		w->op->once(w);
		w->calls++;
	}
	return NULL;
}

static void run(const char *name, int threads, int ms)
{
	static struct worker workers[64];
	static CK_SESSION_HANDLE sessions[64];
	const struct op *op = NULL;
	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
		if (strcmp(ops[i].name, name) == 0)
			op = &ops[i];
	if (!op || threads < 1 || threads > 64)
		die("no such operation or number of threads", CKR_ARGUMENTS_BAD);
	for (int i = 0; i < threads; i++) {
		if (!sessions[i])
			sessions[i] = open_session();
		memset(&workers[i], 0, sizeof workers[i]);
		workers[i].op = op;
		workers[i].session = sessions[i];
		workers[i].counter = (unsigned)(i + 1) * 1000003u;
	}
	if (op->prepare)
		op->prepare(op, sessions[0]);
	op->once(&workers[0]); /* warm, and whatever is made on first use */

	pthread_t id[64];
	unsigned long long wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), calls = 0;
	for (int i = 0; i < threads; i++) {
		workers[i].end = wall + (unsigned long long)ms * 1000000ULL;
		if (pthread_create(&id[i], NULL, work, &workers[i]))
			die("pthread_create", CKR_HOST_MEMORY);
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		calls += workers[i].calls;
	}
	wall = now(CLOCK_MONOTONIC) - wall;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("ok %llu %llu %llu\n", calls, wall, cpu);
}

static void once(const char *module, CK_ULONG n)
{
	long kib = resident_kib();
	unsigned long long t0 = now(CLOCK_MONOTONIC), t1, t2, t3, t4;
	load(module);
	t1 = now(CLOCK_MONOTONIC);
	initialize();
	t2 = now(CLOCK_MONOTONIC);
	choose_slot();
	CK_SESSION_HANDLE s = open_session();
	login(s);
	t3 = now(CLOCK_MONOTONIC);
	if (n)
		find(s, 1 + n / 2);
	t4 = now(CLOCK_MONOTONIC);
	printf("ok %llu %llu %llu %llu %ld\n", t1 - t0, t2 - t1, t3 - t2, t4 - t3, resident_kib() - kib);
	must("C_Finalize", p11->C_Finalize(NULL));
}

int main(int argc, char **argv)
{
	if (argc != 3 && !(argc == 5 && strcmp(argv[3], "once") == 0)) {
		fprintf(stderr, "usage: driver MODULE PIN [once N]\n");
		return 2;
	}
	pin = argv[2];
	if (argc == 5) {
		once(argv[1], strtoul(argv[4], NULL, 10));
		return 0;
	}
	load(argv[1]);
	initialize();
	choose_slot();
	CK_SESSION_HANDLE s = open_session();
	login(s);
	char line[128], name[64];
	int threads, ms;
	unsigned long n;
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "run %63s %d %d", name, &threads, &ms) == 3) {
			run(name, threads, ms);
		} else if (sscanf(line, "populate %lu", &n) == 1) {
			while (populated < n)
				create(s, &yes, ++populated, 0);
			printf("ok %lu\n", populated);
		} else {
			fprintf(stderr, "driver: what is %s", line);
			return 2;
		}
		fflush(stdout);
	}
	must("C_Finalize", p11->C_Finalize(NULL));
	return 0;
}
