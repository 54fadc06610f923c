/*
 * A representative piece of work through the C API, with every buffer exactly
 * as long as it says, so that a tool that watches memory sees who goes beyond.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11.h"

static CK_FUNCTION_LIST_3_2 *p;
static CK_SESSION_HANDLE s;

static void check(const char *what, CK_RV rv, CK_RV want)
{
	if (rv == want) return;
	fprintf(stderr, "%s: 0x%lx, want 0x%lx\n", what, rv, want);
	exit(1);
}
#define OK(call) check(#call, call, CKR_OK)
#define ANSWERS(code, call) check(#call, call, code)

static void *exact(const void *data, size_t n)
{
	void *b = malloc(n);
	if (data) memcpy(b, data, n); else memset(b, 7, n);
	return b;
}

typedef CK_RV (*init)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE);
typedef CK_RV (*single)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *);

/* One operation: the length, one byte too few, exactly enough. */
static CK_BYTE *work(init begin, single call, CK_MECHANISM *m, CK_OBJECT_HANDLE k,
                     const CK_BYTE *in, CK_ULONG n, CK_ULONG *len)
{
	CK_BYTE *src = exact(in, n), *small, *out;
	CK_ULONG room;
	OK(begin(s, m, k));
	OK(call(s, src, n, NULL, len));
	room = *len;
	if (room > 0) {
		CK_ULONG less = 0;
		small = malloc(1);
		ANSWERS(CKR_BUFFER_TOO_SMALL, call(s, src, n, small, &less));
		free(small);
	}
	out = exact(NULL, room);
	*len = room;
	OK(call(s, src, n, out, len));
	free(src);
	return out;
}

static CK_OBJECT_HANDLE create(CK_ATTRIBUTE *t, CK_ULONG n)
{
	CK_ATTRIBUTE *copy = exact(t, n * sizeof *t);
	CK_OBJECT_HANDLE *o = malloc(sizeof *o), result;
	for (CK_ULONG i = 0; i < n; i++) copy[i].pValue = exact(t[i].pValue, t[i].ulValueLen);
	OK(p->C_CreateObject(s, copy, n, o));
	for (CK_ULONG i = 0; i < n; i++) free(copy[i].pValue);
	free(copy);
	result = *o;
	free(o);
	return result;
}

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static void attributes(CK_OBJECT_HANDLE o)
{
	CK_ATTRIBUTE *t = malloc(3 * sizeof *t);
	for (int i = 0; i < 3; i++) {
		t[i].type = i == 0 ? CKA_LABEL : i == 1 ? CKA_VALUE : CKA_CHECK_VALUE;
		t[i].pValue = NULL;
		t[i].ulValueLen = 0;
	}
	OK(p->C_GetAttributeValue(s, o, t, 3));
	for (int i = 0; i < 3; i++) t[i].pValue = malloc(t[i].ulValueLen);
	OK(p->C_GetAttributeValue(s, o, t, 3));
	for (int i = 0; i < 3; i++) {
		free(t[i].pValue);
		t[i].pValue = malloc(1);
		t[i].ulValueLen = 1;
	}
	ANSWERS(CKR_BUFFER_TOO_SMALL, p->C_GetAttributeValue(s, o, t, 3));
	for (int i = 0; i < 3; i++) free(t[i].pValue);
	free(t);
}

static void ciphers(CK_OBJECT_HANDLE k)
{
	CK_BYTE *iv = exact(NULL, 16), *aad = exact(NULL, 5), data[100];
	CK_GCM_PARAMS *g = malloc(sizeof *g);
	CK_AES_CTR_PARAMS *c = calloc(1, sizeof *c);
	CK_MECHANISM list[] = {{CKM_AES_ECB, NULL, 0}, {CKM_AES_CBC, iv, 16}, {CKM_AES_CBC_PAD, iv, 16},
	                       {CKM_AES_GCM, g, sizeof *g}, {CKM_AES_CTR, c, sizeof *c}};
	g->pIv = iv; g->ulIvLen = 12; g->ulIvBits = 96; g->pAAD = aad; g->ulAADLen = 5; g->ulTagBits = 128;
	c->ulCounterBits = 128;
	memset(data, 3, sizeof data);
	for (size_t i = 0; i < LEN(list); i++) {
		CK_MECHANISM *m = exact(&list[i], sizeof list[i]);
		CK_ULONG n = i < 2 ? 96 : 100, len, back;
		CK_BYTE *ct = work(p->C_EncryptInit, p->C_Encrypt, m, k, data, n, &len);
		CK_BYTE *ct2 = exact(ct, len);
		CK_BYTE *pt = work(p->C_DecryptInit, p->C_Decrypt, m, k, ct2, len, &back);
		if (back != n || memcmp(pt, data, n)) { fprintf(stderr, "mechanism %zu does not come back\n", i); exit(1); }
		free(ct); free(ct2); free(pt); free(m);
	}
	free(iv); free(aad); free(g); free(c);
}

static void signatures(CK_OBJECT_HANDLE mac)
{
	CK_BYTE *oid = exact("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10), data[50], *sig;
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE pub[] = {{CKA_EC_PARAMS, oid, 10}, {CKA_VERIFY, &yes, 1}}, priv[] = {{CKA_SIGN, &yes, 1}};
	CK_MECHANISM gen = {CKM_EC_KEY_PAIR_GEN, NULL, 0}, ecdsa = {CKM_ECDSA_SHA256, NULL, 0}, hmac = {CKM_SHA256_HMAC, NULL, 0},
	             sha = {CKM_SHA256, NULL, 0};
	CK_OBJECT_HANDLE *a = malloc(sizeof *a), *b = malloc(sizeof *b);
	CK_ULONG len;
	memset(data, 9, sizeof data);
	OK(p->C_GenerateKeyPair(s, &gen, pub, 2, priv, 1, a, b));
	sig = work(p->C_SignInit, p->C_Sign, &ecdsa, *b, data, sizeof data, &len);
	OK(p->C_VerifyInit(s, &ecdsa, *a));
	OK(p->C_Verify(s, data, sizeof data, sig, len));
	free(sig);
	free(work(p->C_SignInit, p->C_Sign, &hmac, mac, data, sizeof data, &len));
	OK(p->C_DigestInit(s, &sha));
	len = 32;
	sig = malloc(32);
	OK(p->C_Digest(s, data, sizeof data, sig, &len));
	free(sig); free(oid); free(a); free(b);
}

static void wrapping(CK_OBJECT_HANDLE k, CK_OBJECT_HANDLE target)
{
	CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
	CK_KEY_TYPE aes = CKK_AES;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &secret, sizeof secret}, {CKA_KEY_TYPE, &aes, sizeof aes}};
	CK_OBJECT_HANDLE *o = malloc(sizeof *o);
	CK_ULONG len = 0;
	CK_BYTE *out;
	OK(p->C_WrapKey(s, &kw, k, target, NULL, &len));
	out = malloc(len);
	OK(p->C_WrapKey(s, &kw, k, target, out, &len));
	OK(p->C_UnwrapKey(s, &kw, k, out, len, t, LEN(t), o));
	free(out); free(o);
}

static void messages(CK_OBJECT_HANDLE k)
{
	CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0};
	CK_GCM_MESSAGE_PARAMS *g = calloc(1, sizeof *g);
	CK_BYTE *data = exact(NULL, 33), *out = malloc(33);
	CK_ULONG len = 33;
	g->pIv = exact(NULL, 12); g->ulIvLen = 12; g->ulIvFixedBits = 32; g->ivGenerator = CKG_GENERATE_COUNTER;
	g->pTag = malloc(16); g->ulTagBits = 128;
	OK(p->C_MessageEncryptInit(s, &gcm, k));
	OK(p->C_EncryptMessage(s, g, sizeof *g, NULL, 0, data, 33, out, &len));
	OK(p->C_MessageEncryptFinal(s));
	g->ivGenerator = CKG_NO_GENERATE;
	OK(p->C_MessageDecryptInit(s, &gcm, k));
	OK(p->C_DecryptMessage(s, g, sizeof *g, NULL, 0, out, 33, data, &len));
	OK(p->C_MessageDecryptFinal(s));
	free(g->pIv); free(g->pTag); free(g); free(data); free(out);
}

static void search(void)
{
	CK_ATTRIBUTE t = {CKA_LABEL, exact("driver", 6), 6};
	CK_OBJECT_HANDLE *list = malloc(sizeof *list);
	CK_ULONG *n = malloc(sizeof *n);
	OK(p->C_FindObjectsInit(s, &t, 1));
	do OK(p->C_FindObjects(s, list, 1, n)); while (*n);
	OK(p->C_FindObjectsFinal(s));
	free(t.pValue); free(list); free(n);
}

static void token(void)
{
	CK_BYTE *label = exact("driver                          ", 32), *so = exact("so pin", 6), *user = exact("user pin", 8);
	OK(p->C_InitToken(0, so, 6, label));
	OK(p->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	OK(p->C_Login(s, CKU_SO, so, 6));
	OK(p->C_InitPIN(s, user, 8));
	OK(p->C_Logout(s));
	OK(p->C_Login(s, CKU_USER, user, 8));
	free(label); free(so); free(user);
}

int main(int argc, char **argv)
{
	void *so = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
	CK_C_GetInterface get;
	CK_INTERFACE *i;
	CK_VERSION v = {3, 2};
	CK_OBJECT_CLASS secret = CKO_SECRET_KEY;
	CK_KEY_TYPE aes = CKK_AES, generic = CKK_GENERIC_SECRET;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_BYTE value[32] = {1};
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &secret, sizeof secret}, {CKA_KEY_TYPE, &aes, sizeof aes}, {CKA_VALUE, value, 32}, {CKA_LABEL, "driver", 6},
	                    {CKA_ENCRYPT, &yes, 1}, {CKA_DECRYPT, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_VERIFY, &yes, 1}, {CKA_WRAP, &yes, 1},
	                    {CKA_UNWRAP, &yes, 1}, {CKA_EXTRACTABLE, &yes, 1}, {CKA_SENSITIVE, &no, 1}, {CKA_TOKEN, &yes, 1}};
	CK_OBJECT_HANDLE k, mac;
	CK_ULONG *n = malloc(sizeof *n);
	CK_SLOT_ID *slots;
	if (!so) { fprintf(stderr, "%s\n", dlerror()); return 2; }
	*(void **)&get = dlsym(so, "C_GetInterface");
	OK(get((CK_UTF8CHAR *)"PKCS 11", &v, &i, 0));
	p = i->pFunctionList;
	OK(p->C_Initialize(NULL));
	OK(p->C_GetSlotList(CK_FALSE, NULL, n));
	slots = malloc(*n * sizeof *slots);
	OK(p->C_GetSlotList(CK_FALSE, slots, n));
	free(slots);
	token();
	k = create(t, LEN(t));
	t[1].pValue = &generic;
	mac = create(t, LEN(t));
	attributes(k);
	ciphers(k);
	signatures(mac);
	wrapping(k, mac);
	messages(k);
	search();
	OK(p->C_Finalize(NULL));
	free(n);
	if (argc > 2) { /* prove that the tool sees what it should */
		volatile char *beyond = malloc(8);
		return beyond[8];
	}
	puts("done");
	return 0;
}
