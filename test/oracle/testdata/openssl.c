/*
 * OpenSSL, and libsodium for what it lacks, behind a line protocol: a request
 * is a line of words, the answer a line "ok" with words, or "no" with a reason.
 * Byte strings are in hexadecimal, an empty one is "-". What is random depends on
 * the request alone.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <dlfcn.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (1 << 20)

typedef struct {
	unsigned char *p;
	size_t n;
} bytes;

static char *words[64];
static int count;
static unsigned char out[ROOM];
static size_t out_len;
static const char *reason;

#define NEED(x)                 \
	do {                        \
		if ((x) <= 0) {         \
			reason = #x;        \
			return 0;           \
		}                       \
	} while (0)

static bytes hex(int i)
{
	bytes b = {NULL, 0};
	if (i >= count)
		return (bytes){(unsigned char *)calloc(1, 1), 0};
	b.p = (unsigned char *)calloc(1, strlen(words[i]) / 2 + 1);
	if (strcmp(words[i], "-") == 0)
		return b;
	for (char *c = words[i]; c[0] && c[1]; c += 2) {
		char two[3] = {c[0], c[1], 0};
		b.p[b.n++] = (unsigned char)strtoul(two, NULL, 16);
	}
	return b;
}

/* Randomness that the request determines. */

static unsigned long drawn;
static unsigned char request[32];

static int draw(unsigned char *buf, int n)
{
	for (int i = 0; i < n; i += 32) {
		unsigned char block[32], seed[32 + sizeof drawn];
		memcpy(seed, request, 32);
		memcpy(seed + 32, &drawn, sizeof drawn);
		drawn++;
		SHA256(seed, sizeof seed, block);
		memcpy(buf + i, block, n - i < 32 ? n - i : 32);
	}
	return 1;
}

static int ready(void) { return 1; }

static RAND_METHOD same_each_time = {NULL, draw, NULL, NULL, draw, ready};

/* Parameters "name=value", as openssl's -kdfopt and -macopt have them. */

static int from_text(const OSSL_PARAM *known, int first, OSSL_PARAM *params)
{
	int n = 0;
	for (int i = first; i < count; i++) {
		char *value = strchr(words[i], '=');
		int found = 0;
		if (!value) {
			reason = "a parameter without =";
			return 0;
		}
		*value++ = 0;
		if (!OSSL_PARAM_allocate_from_text(&params[n++], known, words[i], value, strlen(value), &found)) {
			reason = found ? words[i] : "unknown parameter";
			return 0;
		}
	}
	params[n] = OSSL_PARAM_construct_end();
	return 1;
}

/* cipher NAME enc|dec KEY IV pad|raw DATA NAME=VALUE... */
static int do_cipher(void)
{
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, words[1], NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	OSSL_PARAM params[16];
	int enc = strcmp(words[2], "enc") == 0, n = 0, m = 0;
	bytes key = hex(3), iv = hex(4), in = hex(6);
	NEED(c != NULL);
	NEED(from_text(EVP_CIPHER_settable_ctx_params(c), 7, params));
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	NEED(EVP_CipherInit_ex2(ctx, c, NULL, NULL, enc, NULL));
	if ((size_t)EVP_CIPHER_CTX_get_key_length(ctx) != key.n)
		NEED(EVP_CIPHER_CTX_set_key_length(ctx, (int)key.n));
	NEED(EVP_CIPHER_CTX_set_params(ctx, params)); /* before the key: RC2 expands it by them */
	NEED(EVP_CipherInit_ex2(ctx, NULL, key.p, iv.n ? iv.p : NULL, enc, NULL));
	EVP_CIPHER_CTX_set_padding(ctx, strcmp(words[5], "pad") == 0);
	NEED(EVP_CipherUpdate(ctx, out, &n, in.p, (int)in.n));
	NEED(EVP_CipherFinal_ex(ctx, out + n, &m));
	out_len = n + m;
	return 1;
}

/* aead NAME enc|dec KEY IV AAD TAGLEN DATA; the tag is behind the ciphertext. */
static int do_aead(void)
{
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, words[1], NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int enc = strcmp(words[2], "enc") == 0, tag = atoi(words[6]), n = 0, m = 0, mode;
	bytes key = hex(3), iv = hex(4), aad = hex(5), in = hex(7);
	NEED(c != NULL);
	mode = EVP_CIPHER_get_mode(c);
	if (!enc)
		in.n -= tag;
	NEED(EVP_CipherInit_ex2(ctx, c, NULL, NULL, enc, NULL));
	NEED(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.n, NULL));
	if (mode == EVP_CIPH_CCM_MODE || !enc)
		NEED(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag, enc ? NULL : in.p + in.n));
	NEED(EVP_CipherInit_ex2(ctx, NULL, key.p, iv.p, enc, NULL));
	if (mode == EVP_CIPH_CCM_MODE)
		NEED(EVP_CipherUpdate(ctx, NULL, &n, NULL, (int)in.n));
	if (aad.n)
		NEED(EVP_CipherUpdate(ctx, NULL, &n, aad.p, (int)aad.n));
	NEED(EVP_CipherUpdate(ctx, out, &n, in.p, (int)in.n));
	if (mode != EVP_CIPH_CCM_MODE || enc)
		NEED(EVP_CipherFinal_ex(ctx, out + n, &m));
	out_len = n + m;
	if (enc) {
		NEED(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, tag, out + out_len));
		out_len += tag;
	}
	return 1;
}

/* digest NAME LENGTH DATA; a length of 0 for the function's own. */
static int do_digest(void)
{
	EVP_MD *md = EVP_MD_fetch(NULL, words[1], NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bytes in = hex(3);
	unsigned n = 0;
	NEED(md != NULL);
	NEED(EVP_DigestInit_ex2(ctx, md, NULL));
	NEED(EVP_DigestUpdate(ctx, in.p, in.n));
	if (atoi(words[2])) {
		out_len = atoi(words[2]);
		NEED(EVP_DigestFinalXOF(ctx, out, out_len));
		return 1;
	}
	NEED(EVP_DigestFinal_ex(ctx, out, &n));
	out_len = n;
	return 1;
}

/* mac NAME KEY DATA NAME=VALUE... */
static int do_mac(void)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, words[1], NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	bytes key = hex(2), in = hex(3);
	OSSL_PARAM params[16];
	NEED(mac != NULL);
	NEED(from_text(EVP_MAC_settable_ctx_params(mac), 4, params));
	NEED(EVP_MAC_CTX_set_params(ctx, params));
	NEED(EVP_MAC_init(ctx, key.p, key.n, NULL));
	NEED(EVP_MAC_update(ctx, in.p, in.n));
	NEED(EVP_MAC_final(ctx, out, &out_len, ROOM));
	return 1;
}

/* kdf NAME LENGTH NAME=VALUE... */
static int do_kdf(void)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, words[1], NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	OSSL_PARAM params[32];
	NEED(kdf != NULL);
	NEED(from_text(EVP_KDF_settable_ctx_params(kdf), 3, params));
	out_len = atoi(words[2]);
	NEED(EVP_KDF_derive(ctx, out, out_len, params));
	return 1;
}

static EVP_PKEY *private_key(int i)
{
	bytes der = hex(i);
	const unsigned char *p = der.p;
	return d2i_AutoPrivateKey(NULL, &p, (long)der.n);
}

static EVP_PKEY *public_key(int i)
{
	bytes der = hex(i);
	const unsigned char *p = der.p;
	return d2i_PUBKEY(NULL, &p, (long)der.n);
}

static int controls(EVP_PKEY_CTX *ctx, int first)
{
	for (int i = first; i < count; i++) {
		char *value = strchr(words[i], '=');
		NEED(value != NULL);
		*value++ = 0;
		if (strcmp(words[i], "pad") == 0) { /* has no name among the controls of DHX */
			unsigned on = atoi(value);
			OSSL_PARAM params[] = {OSSL_PARAM_construct_uint("pad", &on), OSSL_PARAM_construct_end()};
			NEED(EVP_PKEY_CTX_set_params(ctx, params));
			continue;
		}
		if (strcmp(words[i], "again") == 0) /* makes the request another one */
			continue;
		NEED(EVP_PKEY_CTX_ctrl_str(ctx, words[i], value));
	}
	return 1;
}

static void append(const unsigned char *p, size_t n)
{
	memcpy(out + out_len, p, n);
	out_len += n;
}

/* gen ALGORITHM NAME=VALUE...: the PKCS #8 encoding of a new key. "params-KIND"
 * before the algorithm's name makes domain parameters first, with the controls. */
static int do_gen(void)
{
	EVP_PKEY *params = NULL, *key = NULL;
	EVP_PKEY_CTX *ctx;
	unsigned char *der = NULL;
	int n;
	if (strncmp(words[1], "params-", 7) == 0) {
		ctx = EVP_PKEY_CTX_new_from_name(NULL, words[1] + 7, NULL);
		NEED(ctx != NULL);
		NEED(EVP_PKEY_paramgen_init(ctx));
		NEED(controls(ctx, 2));
		NEED(EVP_PKEY_paramgen(ctx, &params));
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL);
		NEED(EVP_PKEY_keygen_init(ctx));
	} else {
		ctx = EVP_PKEY_CTX_new_from_name(NULL, words[1], NULL);
		NEED(ctx != NULL);
		NEED(EVP_PKEY_keygen_init(ctx));
		NEED(controls(ctx, 2));
	}
	NEED(EVP_PKEY_keygen(ctx, &key));
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	NEED(info != NULL);
	n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	NEED(n);
	append(der, n);
	return 1;
}

/* pub PRIVATE: its SubjectPublicKeyInfo. */
static int do_pub(void)
{
	unsigned char *der = NULL;
	EVP_PKEY *key = private_key(1);
	NEED(key != NULL);
	int n = i2d_PUBKEY(key, &der);
	NEED(n);
	append(der, n);
	return 1;
}

/* check private|public|params KEY */
static int do_check(void)
{
	int kind = words[1][1];
	EVP_PKEY *key = kind == 'r' ? private_key(2) : public_key(2);
	NEED(key != NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (kind == 'r')
		NEED(EVP_PKEY_pairwise_check(ctx));
	if (kind == 'r' && strcmp(EVP_PKEY_get0_type_name(key), "RSA") == 0)
		NEED(EVP_PKEY_private_check(ctx));
	if (kind == 'a')
		NEED(EVP_PKEY_param_check(ctx));
	else
		NEED(EVP_PKEY_public_check(ctx));
	return 1;
}

/* ffc ALGORITHM P G Q [SEED INDEX]: checks domain parameters, with a seed that
 * the base comes from it by SHA-256. */
static int do_ffc(void)
{
	bytes p = hex(2), g = hex(3), q = hex(4), seed = hex(5);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, words[1], NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	NEED(ctx != NULL);
	NEED(OSSL_PARAM_BLD_push_BN(b, "p", BN_bin2bn(p.p, (int)p.n, NULL)));
	NEED(OSSL_PARAM_BLD_push_BN(b, "g", BN_bin2bn(g.p, (int)g.n, NULL)));
	if (q.n)
		NEED(OSSL_PARAM_BLD_push_BN(b, "q", BN_bin2bn(q.p, (int)q.n, NULL)));
	if (seed.n) {
		NEED(OSSL_PARAM_BLD_push_octet_string(b, "seed", seed.p, seed.n));
		NEED(OSSL_PARAM_BLD_push_int(b, "gindex", atoi(words[6])));
		NEED(OSSL_PARAM_BLD_push_int(b, "validate-pq", 0));
		NEED(OSSL_PARAM_BLD_push_int(b, "validate-g", 1));
		NEED(OSSL_PARAM_BLD_push_utf8_string(b, "digest", "SHA256", 0));
	}
	NEED(EVP_PKEY_fromdata_init(ctx));
	NEED(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEY_PARAMETERS, OSSL_PARAM_BLD_to_param(b)));
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	NEED(EVP_PKEY_param_check(ctx));
	return 1;
}

/* A digest "-" is for a message that was hashed already, "none" for algorithms
 * that take the whole message. */

/* sign KEY DIGEST DATA NAME=VALUE... */
static int do_sign(void)
{
	EVP_PKEY *key = private_key(1);
	EVP_PKEY_CTX *ctx = NULL;
	bytes in = hex(3);
	NEED(key != NULL);
	out_len = ROOM;
	if (strcmp(words[2], "-") == 0) {
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
		NEED(EVP_PKEY_sign_init(ctx));
		NEED(controls(ctx, 4));
		NEED(EVP_PKEY_sign(ctx, out, &out_len, in.p, in.n));
		return 1;
	}
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	NEED(EVP_DigestSignInit_ex(md, &ctx, strcmp(words[2], "none") ? words[2] : NULL, NULL, NULL, key, NULL));
	NEED(controls(ctx, 4));
	NEED(EVP_DigestSign(md, out, &out_len, in.p, in.n));
	return 1;
}

/* verify KEY DIGEST DATA SIGNATURE NAME=VALUE... */
static int do_verify(void)
{
	EVP_PKEY *key = public_key(1);
	EVP_PKEY_CTX *ctx = NULL;
	bytes in = hex(3), sig = hex(4);
	NEED(key != NULL);
	if (strcmp(words[2], "-") == 0) {
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
		NEED(EVP_PKEY_verify_init(ctx));
		NEED(controls(ctx, 5));
		NEED(EVP_PKEY_verify(ctx, sig.p, sig.n, in.p, in.n));
		return 1;
	}
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	NEED(EVP_DigestVerifyInit_ex(md, &ctx, strcmp(words[2], "none") ? words[2] : NULL, NULL, NULL, key, NULL));
	NEED(controls(ctx, 5));
	NEED(EVP_DigestVerify(md, sig.p, sig.n, in.p, in.n));
	return 1;
}

/* encrypt KEY DATA NAME=VALUE... */
static int do_encrypt(void)
{
	EVP_PKEY *key = public_key(1);
	bytes in = hex(2);
	NEED(key != NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	out_len = ROOM;
	NEED(EVP_PKEY_encrypt_init(ctx));
	NEED(controls(ctx, 3));
	NEED(EVP_PKEY_encrypt(ctx, out, &out_len, in.p, in.n));
	return 1;
}

/* decrypt KEY DATA NAME=VALUE... */
static int do_decrypt(void)
{
	EVP_PKEY *key = private_key(1);
	bytes in = hex(2);
	NEED(key != NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	out_len = ROOM;
	NEED(EVP_PKEY_decrypt_init(ctx));
	NEED(controls(ctx, 3));
	NEED(EVP_PKEY_decrypt(ctx, out, &out_len, in.p, in.n));
	return 1;
}

/* derive PRIVATE PUBLIC NAME=VALUE... */
static int do_derive(void)
{
	EVP_PKEY *key = private_key(1), *peer = public_key(2);
	NEED(key != NULL);
	NEED(peer != NULL);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	NEED(EVP_PKEY_derive_init(ctx));
	NEED(controls(ctx, 3));
	NEED(EVP_PKEY_derive_set_peer_ex(ctx, peer, 1));
	out_len = ROOM;
	NEED(EVP_PKEY_derive(ctx, out, &out_len));
	return 1;
}

/* libsodium, whose header is not needed for four functions. */

typedef int (*seal)(unsigned char *, unsigned long long *, const unsigned char *, unsigned long long, const unsigned char *,
                    unsigned long long, const unsigned char *, const unsigned char *, const unsigned char *);
typedef int (*stream)(unsigned char *, const unsigned char *, unsigned long long, const unsigned char *, uint64_t,
                      const unsigned char *);

static void *sodium(const char *name)
{
	static void *so;
	if (!so)
		so = dlopen("libsodium.so.23", RTLD_NOW);
	return so ? dlsym(so, name) : NULL;
}

/* seal NAME KEY NONCE AAD DATA */
static int do_seal(void)
{
	bytes key = hex(2), nonce = hex(3), aad = hex(4), in = hex(5);
	unsigned long long n = 0;
	char name[64];
	seal f;
	snprintf(name, sizeof name, "crypto_aead_%s_encrypt", words[1]);
	*(void **)&f = sodium(name);
	NEED(f != NULL);
	NEED(f(out, &n, in.p, in.n, aad.p, aad.n, NULL, nonce.p, key.p) == 0);
	out_len = n;
	return 1;
}

/* stream NAME KEY NONCE COUNTER DATA */
static int do_stream(void)
{
	bytes key = hex(2), nonce = hex(3), in = hex(5);
	char name[64];
	stream f;
	snprintf(name, sizeof name, "crypto_stream_%s_xor_ic", words[1]);
	*(void **)&f = sodium(name);
	NEED(f != NULL);
	NEED(f(out, in.p, in.n, nonce.p, strtoull(words[4], NULL, 10), key.p) == 0);
	out_len = in.n;
	return 1;
}

static const struct {
	const char *name;
	int least;
	int (*run)(void);
} commands[] = {
	{"cipher", 7, do_cipher}, {"aead", 8, do_aead},       {"digest", 4, do_digest},   {"mac", 4, do_mac},       {"kdf", 3, do_kdf},
	{"gen", 2, do_gen},       {"pub", 2, do_pub},         {"check", 3, do_check},     {"sign", 4, do_sign},     {"verify", 5, do_verify},
	{"ffc", 5, do_ffc},
	{"encrypt", 3, do_encrypt}, {"decrypt", 3, do_decrypt}, {"derive", 3, do_derive}, {"seal", 6, do_seal}, {"stream", 6, do_stream},
};

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	if (!OSSL_PROVIDER_load(NULL, "default") || !OSSL_PROVIDER_load(NULL, "legacy")) {
		puts("no provider");
		return 1;
	}
	if (!RAND_set_rand_method(&same_each_time))
		return 1;
	while ((n = getline(&line, &room, stdin)) > 0) {
		int ok = 0;
		count = 0;
		out_len = 0;
		reason = "unknown command";
		drawn = 0;
		SHA256((unsigned char *)line, n, request);
		for (char *w = strtok(line, " \n"); w && count < 64; w = strtok(NULL, " \n"))
			words[count++] = w;
		for (size_t i = 0; count && i < sizeof commands / sizeof commands[0]; i++)
			if (strcmp(words[0], commands[i].name) == 0 && count >= commands[i].least) {
				ok = commands[i].run();
				break;
			}
		if (ok) {
			fputs("ok ", stdout);
			if (!out_len)
				putchar('-');
			for (size_t i = 0; i < out_len; i++)
				printf("%02x", out[i]);
			putchar('\n');
		} else {
			char text[256] = "";
			unsigned long e = ERR_peek_last_error();
			if (e)
				ERR_error_string_n(e, text, sizeof text);
			printf("no %s: %s\n", reason, text);
		}
		ERR_clear_error();
		fflush(stdout);
	}
	return 0;
}
