/*
 * The benchmark's driver of PKCS#11 modules: one process per module. It calls
 * the module as any C program does.
 *
 *   pkcs11 MODULE PIN PARAMETERS         answers commands, one per line: those of
 *                                        harness.h, and
 *     populate FROM TO THREADS               -> ok COUNT   (token objects, by CKA_ID)
 *     known N                                -> ok N       (search looks for 1 to N)
 *     filler                                 -> ok 1       (one more, that no search by ID finds)
 *     session-objects N                      -> ok KIB     (memory of N session objects)
 *     fork                                   -> ok NS      (C_Initialize and C_Login in a child)
 *   pkcs11 MODULE PIN PARAMETERS once N  one start of a program: nanoseconds of dlopen,
 *                                        C_Initialize, C_Login, first search (if N is
 *                                        not 0), resident KiB added, nanoseconds of
 *                                        C_Initialize and C_Login in a fork (0: none)
 *
 * PARAMETERS is for NSS, whose C_Initialize takes a string of its own; else "-".
 */
#include "../../../include/pkcs11.h"
#include "harness.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static const char *pin, *parameters;

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

/* Start */

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

static CK_RV initialize(void)
{
	/* NSS has one more member, before the last. */
	struct {
		CK_CREATEMUTEX create;
		CK_DESTROYMUTEX destroy;
		CK_LOCKMUTEX lock;
		CK_UNLOCKMUTEX unlock;
		CK_FLAGS flags;
		const char *parameters;
		void *reserved;
	} args = {0};
	args.flags = CKF_OS_LOCKING_OK;
	if (strcmp(parameters, "-") != 0)
		args.parameters = parameters;
	return p11->C_Initialize(&args);
}

static CK_RV choose_slot(void)
{
	CK_SLOT_ID list[16];
	CK_ULONG n = 16;
	CK_RV rv = p11->C_GetSlotList(CK_TRUE, list, &n);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
		CK_TOKEN_INFO info;
		rv = p11->C_GetTokenInfo(list[i], &info);
		if (rv == CKR_OK && info.flags & CKF_USER_PIN_INITIALIZED) {
			slot = list[i];
			return CKR_OK;
		}
	}
	return rv ? rv : CKR_TOKEN_NOT_PRESENT;
}

static CK_RV open_session(CK_SESSION_HANDLE *s)
{
	return p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, s);
}

static CK_RV login(CK_SESSION_HANDLE s)
{
	CK_RV rv = p11->C_Login(s, CKU_USER, (CK_UTF8CHAR *)(size_t)pin, strlen(pin));
	return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static CK_SESSION_HANDLE first; /* the driver's own session, logged in */

/* Keys: token objects, found by label or made when an operation first wants them. */

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

enum { RSA2048, RSA3072, RSA4096, P256, P384, P521, BP256, BP384, BP512, K256, ED25519, AES, GENERIC, DES3, KEYS };

static CK_BYTE oid_p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
static CK_BYTE oid_p384[] = {6, 5, 0x2b, 0x81, 4, 0, 0x22};
static CK_BYTE oid_p521[] = {6, 5, 0x2b, 0x81, 4, 0, 0x23};
static CK_BYTE oid_k256[] = {6, 5, 0x2b, 0x81, 4, 0, 0x0a};
static CK_BYTE oid_bp256[] = {6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7};
static CK_BYTE oid_bp384[] = {6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11};
static CK_BYTE oid_bp512[] = {6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13};
static CK_BYTE ed25519_name[] = {0x13, 12, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};

static const struct {
	const char *name;
	CK_MECHANISM_TYPE generate;
	CK_ULONG size; /* bits of a modulus, bytes of a secret key, bytes of the OID */
	CK_BYTE *oid;
} kinds[KEYS] = {
	[RSA2048] = {"rsa2048", CKM_RSA_PKCS_KEY_PAIR_GEN, 2048, NULL},
	[RSA3072] = {"rsa3072", CKM_RSA_PKCS_KEY_PAIR_GEN, 3072, NULL},
	[RSA4096] = {"rsa4096", CKM_RSA_PKCS_KEY_PAIR_GEN, 4096, NULL},
	[P256] = {"p256", CKM_EC_KEY_PAIR_GEN, sizeof oid_p256, oid_p256},
	[P384] = {"p384", CKM_EC_KEY_PAIR_GEN, sizeof oid_p384, oid_p384},
	[P521] = {"p521", CKM_EC_KEY_PAIR_GEN, sizeof oid_p521, oid_p521},
	[BP256] = {"brainpool256", CKM_EC_KEY_PAIR_GEN, sizeof oid_bp256, oid_bp256},
	[BP384] = {"brainpool384", CKM_EC_KEY_PAIR_GEN, sizeof oid_bp384, oid_bp384},
	[BP512] = {"brainpool512", CKM_EC_KEY_PAIR_GEN, sizeof oid_bp512, oid_bp512},
	[K256] = {"secp256k1", CKM_EC_KEY_PAIR_GEN, sizeof oid_k256, oid_k256},
	[ED25519] = {"ed25519", CKM_EC_EDWARDS_KEY_PAIR_GEN, sizeof ed25519_name, ed25519_name},
	[AES] = {"aes", CKM_AES_KEY_GEN, 32, NULL},
	[GENERIC] = {"generic", CKM_GENERIC_SECRET_KEY_GEN, 32, NULL},
	[DES3] = {"des3", CKM_DES3_KEY_GEN, 0, NULL},
};

static struct pair {
	CK_OBJECT_HANDLE public_key, private_key; /* a secret key is private_key */
} keys[KEYS];

static int is_secret(int k) { return k >= AES; }

static CK_RV generate_pair(CK_SESSION_HANDLE s, int k, CK_BBOOL *token, struct pair *out)
{
	CK_MECHANISM m = {kinds[k].generate, NULL, 0};
	CK_BYTE e[] = {1, 0, 1};
	CK_ULONG bits = kinds[k].size;
	const char *label = kinds[k].name;
	CK_ATTRIBUTE pub[8] = {{CKA_TOKEN, token, 1}, {CKA_LABEL, (void *)(size_t)label, strlen(label)}, {CKA_VERIFY, &yes, 1}};
	CK_ATTRIBUTE prv[8] = {{CKA_TOKEN, token, 1}, {CKA_LABEL, (void *)(size_t)label, strlen(label)},
		{CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_SIGN, &yes, 1}};
	CK_ULONG npub = 3, nprv = 5;
	if (kinds[k].oid) {
		pub[npub++] = (CK_ATTRIBUTE){CKA_EC_PARAMS, kinds[k].oid, kinds[k].size};
		if (k != ED25519)
			prv[nprv++] = (CK_ATTRIBUTE){CKA_DERIVE, &yes, 1};
	} else {
		pub[npub++] = (CK_ATTRIBUTE){CKA_MODULUS_BITS, &bits, sizeof bits};
		pub[npub++] = (CK_ATTRIBUTE){CKA_PUBLIC_EXPONENT, e, sizeof e};
		pub[npub++] = (CK_ATTRIBUTE){CKA_ENCRYPT, &yes, 1};
		pub[npub++] = (CK_ATTRIBUTE){CKA_WRAP, &yes, 1};
		prv[nprv++] = (CK_ATTRIBUTE){CKA_DECRYPT, &yes, 1};
		prv[nprv++] = (CK_ATTRIBUTE){CKA_UNWRAP, &yes, 1};
	}
	return p11->C_GenerateKeyPair(s, &m, pub, npub, prv, nprv, &out->public_key, &out->private_key);
}

static CK_RV generate_secret(CK_SESSION_HANDLE s, int k, CK_BBOOL *token, CK_OBJECT_HANDLE *out)
{
	CK_MECHANISM m = {kinds[k].generate, NULL, 0};
	CK_ULONG len = kinds[k].size;
	const char *label = kinds[k].name;
	CK_ATTRIBUTE t[10] = {{CKA_TOKEN, token, 1}, {CKA_LABEL, (void *)(size_t)label, strlen(label)}, {CKA_PRIVATE, &yes, 1}};
	CK_ULONG n = 3;
	if (k == GENERIC) {
		t[n++] = (CK_ATTRIBUTE){CKA_SIGN, &yes, 1};
		t[n++] = (CK_ATTRIBUTE){CKA_VERIFY, &yes, 1};
		t[n++] = (CK_ATTRIBUTE){CKA_EXTRACTABLE, &yes, 1};
	} else {
		t[n++] = (CK_ATTRIBUTE){CKA_ENCRYPT, &yes, 1};
		t[n++] = (CK_ATTRIBUTE){CKA_DECRYPT, &yes, 1};
		t[n++] = (CK_ATTRIBUTE){CKA_WRAP, &yes, 1};
		t[n++] = (CK_ATTRIBUTE){CKA_UNWRAP, &yes, 1};
		t[n++] = (CK_ATTRIBUTE){CKA_SIGN, &yes, 1};
	}
	if (len)
		t[n++] = (CK_ATTRIBUTE){CKA_VALUE_LEN, &len, sizeof len};
	return p11->C_GenerateKey(s, &m, t, n, out);
}

/* Searching */

static CK_RV find(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *found)
{
	CK_RV rv = p11->C_FindObjectsInit(s, t, n);
	if (rv)
		return rv;
	rv = p11->C_FindObjects(s, out, max, found);
	CK_RV rv2 = p11->C_FindObjectsFinal(s);
	return rv ? rv : rv2;
}

static CK_OBJECT_HANDLE find_key(const char *label, CK_OBJECT_CLASS class)
{
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, (void *)(size_t)label, strlen(label)}};
	CK_OBJECT_HANDLE o = 0;
	CK_ULONG n = 0;
	must("C_FindObjects", find(first, t, 2, &o, 1, &n));
	return n ? o : 0;
}

static CK_RV key(int k)
{
	if (keys[k].private_key)
		return CKR_OK;
	if (is_secret(k)) {
		keys[k].private_key = find_key(kinds[k].name, CKO_SECRET_KEY);
		return keys[k].private_key ? CKR_OK : generate_secret(first, k, &yes, &keys[k].private_key);
	}
	keys[k].private_key = find_key(kinds[k].name, CKO_PRIVATE_KEY);
	keys[k].public_key = find_key(kinds[k].name, CKO_PUBLIC_KEY);
	return keys[k].private_key ? CKR_OK : generate_pair(first, k, &yes, &keys[k]);
}

/* Parameters of mechanisms, into a worker's context. */

union params {
	CK_GCM_PARAMS gcm;
	CK_AES_CTR_PARAMS ctr;
	CK_RSA_PKCS_PSS_PARAMS pss;
	CK_RSA_PKCS_OAEP_PARAMS oaep;
	CK_BYTE iv[16];
};

static CK_MECHANISM mechanism(struct worker *w, union params *p, CK_BYTE iv[16])
{
	CK_MECHANISM m = {w->op->mechanism, NULL, 0};
	memset(p, 0, sizeof *p);
	switch (m.mechanism) {
	case CKM_AES_GCM:
		memcpy(iv, &w->counter, sizeof w->counter);
		p->gcm.pIv = iv;
		p->gcm.ulIvLen = 12;
		p->gcm.ulIvBits = 96;
		p->gcm.ulTagBits = 128;
		return (CK_MECHANISM){m.mechanism, &p->gcm, sizeof p->gcm};
	case CKM_AES_CTR:
		p->ctr.ulCounterBits = 128;
		return (CK_MECHANISM){m.mechanism, &p->ctr, sizeof p->ctr};
	case CKM_AES_CBC:
	case CKM_AES_CBC_PAD:
		return (CK_MECHANISM){m.mechanism, p->iv, 16};
	case CKM_DES3_CBC:
		return (CK_MECHANISM){m.mechanism, p->iv, 8};
	case CKM_RSA_PKCS_PSS:
	case CKM_SHA256_RSA_PKCS_PSS:
		p->pss = (CK_RSA_PKCS_PSS_PARAMS){CKM_SHA256, CKG_MGF1_SHA256, 32};
		return (CK_MECHANISM){m.mechanism, &p->pss, sizeof p->pss};
	case CKM_RSA_PKCS_OAEP: /* what all modules here have */
		p->oaep = (CK_RSA_PKCS_OAEP_PARAMS){CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
		return (CK_MECHANISM){m.mechanism, &p->oaep, sizeof p->oaep};
	}
	return m;
}

/* Operations */

static long prepare_key(const struct op *op)
{
	CK_MECHANISM_INFO info;
	CK_RV rv = op->mechanism ? p11->C_GetMechanismInfo(slot, op->mechanism, &info) : CKR_OK;
	return (long)(rv ? rv : key(op->which));
}

static long prepare_mechanism(const struct op *op)
{
	CK_MECHANISM_INFO info;
	return (long)p11->C_GetMechanismInfo(slot, op->mechanism, &info);
}

static CK_RV sign_into(struct worker *w, CK_BYTE *out, size_t *n)
{
	union params p;
	CK_BYTE iv[16] = {0};
	CK_MECHANISM m = mechanism(w, &p, iv);
	CK_ULONG len = MAX_DATA;
	CK_RV rv = p11->C_SignInit(w->session, &m, keys[w->op->which].private_key);
	if (rv == CKR_OK)
		rv = p11->C_Sign(w->session, w->data, w->op->size, out, &len);
	*n = len;
	return rv;
}

static long once_sign(struct worker *w) { return (long)sign_into(w, w->out, &w->out_len); }
static long begin_verify(struct worker *w) { return (long)sign_into(w, w->in, &w->in_len); }

static long once_verify(struct worker *w)
{
	union params p;
	CK_BYTE iv[16] = {0};
	CK_MECHANISM m = mechanism(w, &p, iv);
	struct pair k = keys[w->op->which];
	CK_RV rv = p11->C_VerifyInit(w->session, &m, is_secret(w->op->which) ? k.private_key : k.public_key);
	if (rv == CKR_OK)
		rv = p11->C_Verify(w->session, w->data, w->op->size, w->in, w->in_len);
	return (long)rv;
}

static CK_RV encrypt_into(struct worker *w, CK_BYTE *out, size_t *n)
{
	union params p;
	CK_BYTE iv[16] = {0};
	CK_MECHANISM m = mechanism(w, &p, iv);
	struct pair k = keys[w->op->which];
	CK_ULONG len = MAX_DATA + 64;
	CK_RV rv = p11->C_EncryptInit(w->session, &m, is_secret(w->op->which) ? k.private_key : k.public_key);
	if (rv == CKR_OK)
		rv = p11->C_Encrypt(w->session, w->data, w->op->size, out, &len);
	*n = len;
	return rv;
}

static long once_encrypt(struct worker *w)
{
	w->counter++; /* another IV for GCM */
	return (long)encrypt_into(w, w->out, &w->out_len);
}

static long begin_decrypt(struct worker *w) { return (long)encrypt_into(w, w->in, &w->in_len); }

static long once_decrypt(struct worker *w)
{
	union params p;
	CK_BYTE iv[16] = {0};
	CK_MECHANISM m = mechanism(w, &p, iv);
	CK_ULONG len = MAX_DATA + 64;
	CK_RV rv = p11->C_DecryptInit(w->session, &m, keys[w->op->which].private_key);
	if (rv == CKR_OK)
		rv = p11->C_Decrypt(w->session, w->in, w->in_len, w->out, &len);
	return (long)rv;
}

static long once_digest(struct worker *w)
{
	CK_MECHANISM m = {w->op->mechanism, NULL, 0};
	CK_ULONG n = MAX_DATA;
	CK_RV rv = p11->C_DigestInit(w->session, &m);
	if (rv == CKR_OK)
		rv = p11->C_Digest(w->session, w->data, w->op->size, w->out, &n);
	return (long)rv;
}

static long once_random(struct worker *w) { return (long)p11->C_GenerateRandom(w->session, w->out, w->op->size); }

/* The other party's point is the key's own; modules differ in how they take it. */
static CK_RV derive(struct worker *w, CK_BYTE *point, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
	CK_ECDH1_DERIVE_PARAMS p = {CKD_NULL, 0, NULL, n, point};
	CK_MECHANISM m = {CKM_ECDH1_DERIVE, &p, sizeof p};
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_ULONG len = 32;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &no, 1}, {CKA_VALUE_LEN, &len, sizeof len}};
	return p11->C_DeriveKey(w->session, &m, keys[w->op->which].private_key, t, 4, out);
}

static long begin_ecdh(struct worker *w)
{
	CK_ATTRIBUTE a = {CKA_EC_POINT, w->in, sizeof w->in};
	CK_OBJECT_HANDLE o;
	CK_RV rv = p11->C_GetAttributeValue(w->session, keys[w->op->which].public_key, &a, 1);
	if (rv)
		return (long)rv;
	w->in_len = a.ulValueLen;
	if (w->in[0] != 4 || w->in_len % 2 == 1) /* a bare point */
		return 0;
	size_t head = w->in[1] == 0x81 ? 3 : 2;
	if (derive(w, w->in + head, w->in_len - head, &o) == CKR_OK) {
		memmove(w->in, w->in + head, w->in_len -= head);
		return (long)p11->C_DestroyObject(w->session, o);
	}
	return 0;
}

static long once_ecdh(struct worker *w)
{
	CK_OBJECT_HANDLE o;
	CK_RV rv = derive(w, w->in, w->in_len, &o);
	return (long)(rv ? rv : p11->C_DestroyObject(w->session, o));
}

static long once_keygen(struct worker *w)
{
	struct pair k;
	CK_RV rv = generate_pair(w->session, w->op->which, &no, &k);
	if (rv == CKR_OK)
		rv = p11->C_DestroyObject(w->session, k.public_key);
	if (rv == CKR_OK)
		rv = p11->C_DestroyObject(w->session, k.private_key);
	return (long)rv;
}

static long once_generate(struct worker *w)
{
	CK_OBJECT_HANDLE o;
	CK_RV rv = generate_secret(w->session, AES, &no, &o);
	return (long)(rv ? rv : p11->C_DestroyObject(w->session, o));
}

static long prepare_wrap(const struct op *op)
{
	long rv = prepare_key(op);
	return rv ? rv : (long)key(GENERIC);
}

static CK_RV wrap_into(struct worker *w, CK_BYTE *out, size_t *n)
{
	union params p;
	CK_BYTE iv[16] = {0};
	CK_MECHANISM m = mechanism(w, &p, iv);
	struct pair k = keys[w->op->which];
	CK_ULONG len = MAX_DATA;
	CK_RV rv = p11->C_WrapKey(w->session, &m, is_secret(w->op->which) ? k.private_key : k.public_key, keys[GENERIC].private_key, out, &len);
	*n = len;
	return rv;
}

static long once_wrap(struct worker *w) { return (long)wrap_into(w, w->out, &w->out_len); }
static long begin_unwrap(struct worker *w) { return (long)wrap_into(w, w->in, &w->in_len); }

static long once_unwrap(struct worker *w)
{
	union params p;
	CK_BYTE iv[16] = {0};
	CK_MECHANISM m = mechanism(w, &p, iv);
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &no, 1}};
	CK_OBJECT_HANDLE o;
	CK_RV rv = p11->C_UnwrapKey(w->session, &m, keys[w->op->which].private_key, w->in, w->in_len, t, 3, &o);
	return (long)(rv ? rv : p11->C_DestroyObject(w->session, o));
}

static long once_session(struct worker *w)
{
	CK_SESSION_HANDLE s;
	(void)w;
	CK_RV rv = open_session(&s);
	return (long)(rv ? rv : p11->C_CloseSession(s));
}

/* Nobody else may be logged in or out meanwhile: for one thread. */
static long once_login(struct worker *w)
{
	CK_RV rv = p11->C_Logout(w->session);
	return (long)(rv ? rv : login(w->session));
}

static void forget_keys(struct worker *w)
{
	(void)w;
	memset(keys, 0, sizeof keys); /* a logout may have ended their handles */
}

static long once_attributes(struct worker *w)
{
	CK_BYTE label[64];
	CK_KEY_TYPE type;
	CK_BBOOL can;
	CK_ATTRIBUTE t[] = {{CKA_LABEL, label, sizeof label}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_SIGN, &can, 1}};
	return (long)p11->C_GetAttributeValue(w->session, keys[w->op->which].private_key, t, 3);
}

/* The objects of a population: AES keys with an ID and a label of their own. */

#define POPULATION "bench object %09lu"

static CK_RV create(CK_SESSION_HANDLE s, CK_BBOOL *token, CK_ULONG id, CK_OBJECT_HANDLE *o)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_BYTE value[32] = {1};
	char label[40];
	snprintf(label, sizeof label, POPULATION, (unsigned long)id);
	memcpy(value, &id, sizeof id);
	CK_ATTRIBUTE t[] = {
		{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, token, 1}, {CKA_PRIVATE, &yes, 1},
		{CKA_LABEL, label, strlen(label)}, {CKA_ID, &id, sizeof id}, {CKA_VALUE, value, sizeof value},
	};
	return p11->C_CreateObject(s, t, sizeof t / sizeof t[0], o);
}

static void keep(struct worker *w, CK_OBJECT_HANDLE o)
{
	if (w->made_n == w->made_cap) {
		w->made_cap = w->made_cap ? 2 * w->made_cap : 256;
		w->made = realloc(w->made, w->made_cap * sizeof *w->made);
		if (!w->made)
			die("realloc", CKR_HOST_MEMORY);
	}
	w->made[w->made_n++] = o;
}

static long once_create(struct worker *w)
{
	CK_OBJECT_HANDLE o;
	CK_RV rv = create(w->session, w->op->which ? &yes : &no, 0x40000000UL + w->counter++, &o);
	if (rv == CKR_OK)
		keep(w, o);
	return (long)rv;
}

static long once_generate_token(struct worker *w)
{
	CK_OBJECT_HANDLE o;
	CK_RV rv = generate_secret(w->session, AES, &yes, &o);
	if (rv == CKR_OK)
		keep(w, o);
	return (long)rv;
}

static void destroy_made(struct worker *w)
{
	while (w->made_n)
		must("C_DestroyObject", p11->C_DestroyObject(w->session, w->made[--w->made_n]));
}

static CK_ULONG known;

static CK_ULONG some_id(struct worker *w)
{
	w->counter = w->counter * 1103515245u + 12345u;
	return 1 + (w->counter >> 8) % known;
}

static long found_one(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n)
{
	CK_OBJECT_HANDLE o[4];
	CK_ULONG found = 0;
	CK_RV rv = find(s, t, n, o, 4, &found);
	return rv ? (long)rv : found == 1 ? 0 : (long)CKR_GENERAL_ERROR;
}

static long find_id(CK_SESSION_HANDLE s, CK_ULONG id)
{
	CK_ATTRIBUTE t[] = {{CKA_ID, &id, sizeof id}};
	return found_one(s, t, 1);
}

static long once_find_id(struct worker *w) { return find_id(w->session, some_id(w)); }

static long once_find_label(struct worker *w)
{
	char label[40];
	snprintf(label, sizeof label, POPULATION, (unsigned long)some_id(w));
	CK_ATTRIBUTE t[] = {{CKA_LABEL, label, strlen(label)}};
	return found_one(w->session, t, 1);
}

static long once_find_several(struct worker *w)
{
	char label[40];
	CK_ULONG id = some_id(w);
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	snprintf(label, sizeof label, POPULATION, (unsigned long)id);
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &yes, 1},
		{CKA_LABEL, label, strlen(label)}, {CKA_ID, &id, sizeof id}};
	return found_one(w->session, t, 5);
}

/* All of a class, handle by handle; an empty answer ends it. */
static long once_find_class(struct worker *w)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}};
	CK_OBJECT_HANDLE o[1024];
	CK_ULONG n = 0, all = 0;
	CK_RV rv = p11->C_FindObjectsInit(w->session, t, 1);
	if (rv)
		return (long)rv;
	while ((rv = p11->C_FindObjects(w->session, o, 1024, &n)) == CKR_OK && n)
		all += n;
	p11->C_FindObjectsFinal(w->session);
	return rv ? (long)rv : all >= known ? 0 : (long)CKR_GENERAL_ERROR;
}

/* Nothing has it. */
static long once_find_nothing(struct worker *w)
{
	CK_ULONG id = 0x7fffffff00000000UL + w->counter++;
	CK_ATTRIBUTE t[] = {{CKA_ID, &id, sizeof id}};
	CK_OBJECT_HANDLE o;
	CK_ULONG found = 0;
	CK_RV rv = find(w->session, t, 1, &o, 1, &found);
	return rv ? (long)rv : found ? (long)CKR_GENERAL_ERROR : 0;
}

#define SIGN(name, m, size, key) {name, m, size, key, prepare_key, NULL, once_sign, NULL, 0}
#define VERIFY(name, m, size, key) {name, m, size, key, prepare_key, begin_verify, once_verify, NULL, 0}
#define ENCRYPT(name, m, size, key) {name, m, size, key, prepare_key, NULL, once_encrypt, NULL, 0}
#define DECRYPT(name, m, size, key) {name, m, size, key, prepare_key, begin_decrypt, once_decrypt, NULL, 0}
#define DIGEST(name, m, size) {name, m, size, 0, NULL, NULL, once_digest, NULL, 0}
#define CURVE(name, digest, key) \
	SIGN(name "-sign", CKM_ECDSA, digest, key), \
	VERIFY(name "-verify", CKM_ECDSA, digest, key), \
	{name "-ecdh", CKM_ECDH1_DERIVE, 0, key, prepare_key, begin_ecdh, once_ecdh, NULL, 1}, \
	{name "-keygen", CKM_EC_KEY_PAIR_GEN, 0, key, prepare_key, NULL, once_keygen, NULL, 1}
#define RSA(bits) \
	SIGN("rsa" #bits "-sign", CKM_RSA_PKCS, 51, RSA##bits), \
	VERIFY("rsa" #bits "-verify", CKM_RSA_PKCS, 51, RSA##bits), \
	{"rsa" #bits "-keygen", CKM_RSA_PKCS_KEY_PAIR_GEN, 0, RSA##bits, prepare_mechanism, NULL, once_keygen, NULL, 1}

static const struct op ops[] = {
	RSA(2048), RSA(3072), RSA(4096),
	SIGN("rsa2048-sha256-sign", CKM_SHA256_RSA_PKCS, 256, RSA2048),
	SIGN("rsa2048-pss-sign", CKM_RSA_PKCS_PSS, 32, RSA2048),
	VERIFY("rsa2048-pss-verify", CKM_RSA_PKCS_PSS, 32, RSA2048),
	ENCRYPT("rsa2048-oaep-encrypt", CKM_RSA_PKCS_OAEP, 32, RSA2048),
	DECRYPT("rsa2048-oaep-decrypt", CKM_RSA_PKCS_OAEP, 32, RSA2048),
	DECRYPT("rsa2048-pkcs1-decrypt", CKM_RSA_PKCS, 32, RSA2048),
	{"rsa2048-unwrap", CKM_RSA_PKCS, 0, RSA2048, prepare_wrap, begin_unwrap, once_unwrap, NULL, 1},
	CURVE("p256", 32, P256), CURVE("p384", 48, P384), CURVE("p521", 64, P521),
	CURVE("brainpool256", 32, BP256), CURVE("brainpool384", 48, BP384), CURVE("brainpool512", 64, BP512),
	CURVE("secp256k1", 32, K256),
	SIGN("ed25519-sign", CKM_EDDSA, 32, ED25519),
	VERIFY("ed25519-verify", CKM_EDDSA, 32, ED25519),
	{"ed25519-keygen", CKM_EC_EDWARDS_KEY_PAIR_GEN, 0, ED25519, prepare_key, NULL, once_keygen, NULL, 1},
	ENCRYPT("aes256-gcm-16", CKM_AES_GCM, 16, AES),
	ENCRYPT("aes256-gcm-64", CKM_AES_GCM, 64, AES),
	ENCRYPT("aes256-gcm-1024", CKM_AES_GCM, 1024, AES),
	ENCRYPT("aes256-gcm-16384", CKM_AES_GCM, 16384, AES),
	{"aes256-gcm-decrypt-1024", CKM_AES_GCM, 1024, AES, prepare_key, begin_decrypt, once_decrypt, NULL, 0},
	ENCRYPT("aes256-cbc-16", CKM_AES_CBC, 16, AES),
	ENCRYPT("aes256-cbc-1024", CKM_AES_CBC, 1024, AES),
	ENCRYPT("aes256-cbc-16384", CKM_AES_CBC, 16384, AES),
	DECRYPT("aes256-cbc-decrypt-1024", CKM_AES_CBC, 1024, AES),
	DECRYPT("aes256-cbc-decrypt-16384", CKM_AES_CBC, 16384, AES),
	ENCRYPT("aes256-cbc-pad-1024", CKM_AES_CBC_PAD, 1024, AES),
	ENCRYPT("aes256-ctr-1024", CKM_AES_CTR, 1024, AES),
	ENCRYPT("aes256-ctr-16384", CKM_AES_CTR, 16384, AES),
	ENCRYPT("aes256-ecb-1024", CKM_AES_ECB, 1024, AES),
	SIGN("aes256-cmac-1024", CKM_AES_CMAC, 1024, AES),
	ENCRYPT("des3-cbc-1024", CKM_DES3_CBC, 1024, DES3),
	{"aes256-key-wrap", CKM_AES_KEY_WRAP, 0, AES, prepare_wrap, NULL, once_wrap, NULL, 1},
	{"aes256-key-unwrap", CKM_AES_KEY_WRAP, 0, AES, prepare_wrap, begin_unwrap, once_unwrap, NULL, 1},
	{"aes256-keygen", CKM_AES_KEY_GEN, 0, AES, prepare_mechanism, NULL, once_generate, NULL, 1},
	DIGEST("md5-1024", CKM_MD5, 1024),
	DIGEST("sha1-64", CKM_SHA_1, 64), DIGEST("sha1-16384", CKM_SHA_1, 16384),
	DIGEST("sha256-64", CKM_SHA256, 64), DIGEST("sha256-1024", CKM_SHA256, 1024), DIGEST("sha256-16384", CKM_SHA256, 16384),
	DIGEST("sha384-64", CKM_SHA384, 64),
	DIGEST("sha512-64", CKM_SHA512, 64), DIGEST("sha512-16384", CKM_SHA512, 16384),
	SIGN("hmac-sha1-64", CKM_SHA_1_HMAC, 64, GENERIC),
	SIGN("hmac-sha256-64", CKM_SHA256_HMAC, 64, GENERIC),
	SIGN("hmac-sha256-16384", CKM_SHA256_HMAC, 16384, GENERIC),
	VERIFY("hmac-sha256-verify-64", CKM_SHA256_HMAC, 64, GENERIC),
	SIGN("hmac-sha512-64", CKM_SHA512_HMAC, 64, GENERIC),
	SIGN("hmac-sha512-16384", CKM_SHA512_HMAC, 16384, GENERIC),
	{"random-32", 0, 32, 0, NULL, NULL, once_random, NULL, 1},
	{"random-4096", 0, 4096, 0, NULL, NULL, once_random, NULL, 1},
	{"session-open-close", 0, 0, 0, NULL, NULL, once_session, NULL, 1},
	{"logout-login", 0, 0, 0, NULL, NULL, once_login, forget_keys, 1},
	{"get-attributes", 0, 0, AES, prepare_key, NULL, once_attributes, NULL, 1},
	{"create-session-object", 0, 0, 0, NULL, NULL, once_create, destroy_made, 1},
	{"create-token-object", 0, 0, 1, NULL, NULL, once_create, destroy_made, 1},
	{"generate-token-key", CKM_AES_KEY_GEN, 0, 1, prepare_mechanism, NULL, once_generate_token, destroy_made, 1},
	{"find-by-id", 0, 0, 0, NULL, NULL, once_find_id, NULL, 0},
	{"find-by-label", 0, 0, 0, NULL, NULL, once_find_label, NULL, 0},
	{"find-by-several", 0, 0, 0, NULL, NULL, once_find_several, NULL, 0},
	{"find-all-of-class", 0, 0, 0, NULL, NULL, once_find_class, NULL, 0},
	{"find-nothing", 0, 0, 0, NULL, NULL, once_find_nothing, NULL, 0},
};

static long session_of(struct worker *w, int i)
{
	static CK_SESSION_HANDLE sessions[MAX_THREADS];
	CK_RV rv = sessions[i] ? CKR_OK : open_session(&sessions[i]);
	w->session = sessions[i];
	return (long)rv;
}

/* Populations, and what they weigh */

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

static struct part {
	CK_SESSION_HANDLE session;
	CK_ULONG from, to;
} parts[MAX_THREADS];

static void *populate_part(void *arg)
{
	struct part *p = arg;
	CK_OBJECT_HANDLE o;
	for (CK_ULONG id = p->from; id < p->to; id++)
		must("C_CreateObject", create(p->session, &yes, id, &o));
	return NULL;
}

static void populate(CK_ULONG from, CK_ULONG to, int threads)
{
	pthread_t id[MAX_THREADS];
	if (threads < 1 || threads > MAX_THREADS)
		die("threads", CKR_ARGUMENTS_BAD);
	for (int i = 0; i < threads; i++) {
		CK_ULONG n = to + 1 - from;
		parts[i].from = from + n * (CK_ULONG)i / (CK_ULONG)threads;
		parts[i].to = from + n * (CK_ULONG)(i + 1) / (CK_ULONG)threads;
		must("C_OpenSession", open_session(&parts[i].session));
		if (pthread_create(&id[i], NULL, populate_part, &parts[i]))
			die("pthread_create", CKR_HOST_MEMORY);
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		must("C_CloseSession", p11->C_CloseSession(parts[i].session));
	}
}

static void weigh_session_objects(CK_ULONG n)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE o;
	must("C_OpenSession", open_session(&s));
	must("C_CreateObject", create(s, &no, 0, &o));
	long before = resident_kib();
	for (CK_ULONG i = 1; i <= n; i++)
		must("C_CreateObject", create(s, &no, i, &o));
	printf("ok %ld\n", resident_kib() - before);
	must("C_CloseSession", p11->C_CloseSession(s));
}

/* One start of a program */

static CK_RV start_in_child(void)
{
	CK_SESSION_HANDLE s;
	CK_RV rv = initialize();
	if (rv == CKR_OK)
		rv = choose_slot();
	if (rv == CKR_OK)
		rv = open_session(&s);
	return rv ? rv : login(s);
}

static unsigned long long fork_start(void)
{
	int ends[2];
	unsigned long long took = 0;
	if (pipe(ends))
		return 0;
	pid_t child = fork();
	if (child == 0) {
		unsigned long long t = now_wall();
		took = start_in_child() == CKR_OK ? now_wall() - t : 0;
		_exit(write(ends[1], &took, sizeof took) != sizeof took);
	}
	close(ends[1]);
	if (child < 0 || read(ends[0], &took, sizeof took) != sizeof took)
		took = 0;
	close(ends[0]);
	waitpid(child, NULL, 0);
	return took;
}

static void once(const char *module, CK_ULONG n)
{
	long kib = resident_kib();
	unsigned long long t0 = now_wall(), t1, t2, t3, t4;
	load(module);
	t1 = now_wall();
	must("C_Initialize", initialize());
	t2 = now_wall();
	must("C_GetSlotList", choose_slot());
	must("C_OpenSession", open_session(&first));
	must("C_Login", login(first));
	t3 = now_wall();
	if (n && find_id(first, n) != 0)
		die("search", CKR_GENERAL_ERROR);
	t4 = now_wall();
	kib = resident_kib() - kib;
	printf("ok %llu %llu %llu %llu %ld %llu\n", t1 - t0, t2 - t1, t3 - t2, t4 - t3, kib, fork_start());
	fflush(stdout);
	must("C_Finalize", p11->C_Finalize(NULL));
}

static int other(const char *line)
{
	unsigned long from, to;
	int threads;
	if (sscanf(line, "populate %lu %lu %d", &from, &to, &threads) == 3) {
		populate(from, to, threads);
		printf("ok %lu\n", to + 1 - from);
	} else if (sscanf(line, "known %lu", &to) == 1) {
		printf("ok %lu\n", known = to);
	} else if (strcmp(line, "filler\n") == 0) {
		CK_OBJECT_HANDLE o;
		must("C_CreateObject", create(first, &yes, 0x20000000UL, &o));
		printf("ok 1\n");
	} else if (sscanf(line, "session-objects %lu", &to) == 1) {
		weigh_session_objects(to);
	} else if (strcmp(line, "fork\n") == 0) {
		unsigned long long took = fork_start();
		if (took)
			printf("ok %llu\n", took);
		else
			printf("no start-in-a-child\n");
	} else {
		return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 4 && !(argc == 6 && strcmp(argv[4], "once") == 0)) {
		fprintf(stderr, "usage: pkcs11 MODULE PIN PARAMETERS [once N]\n");
		return 2;
	}
	pin = argv[2];
	parameters = argv[3];
	if (argc == 6) {
		once(argv[1], strtoul(argv[5], NULL, 10));
		return 0;
	}
	load(argv[1]);
	must("C_Initialize", initialize());
	must("C_GetSlotList", choose_slot());
	must("C_OpenSession", open_session(&first));
	must("C_Login", login(first));
	serve(ops, sizeof ops / sizeof ops[0], session_of, other);
	must("C_Finalize", p11->C_Finalize(NULL));
	return 0;
}
