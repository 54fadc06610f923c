/*
 * The benchmark's driver of raw arithmetic: the operations of pkcs11.c, under the
 * same names, by OpenSSL's EVP functions with keys parsed and contexts made
 * before the clock runs. It is what a module on OpenSSL could reach at best.
 *
 *   openssl                answers the commands of harness.h
 *   openssl version        says which library this is
 */
#include "harness.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <stdio.h>
#include <string.h>

enum { RSA2048, RSA3072, RSA4096, P256, P384, P521, BP256, BP384, BP512, K256, ED25519, KEYS };

static const struct {
	const char *type, *curve;
	int bits;
} kinds[KEYS] = {
	[RSA2048] = {"RSA", NULL, 2048},
	[RSA3072] = {"RSA", NULL, 3072},
	[RSA4096] = {"RSA", NULL, 4096},
	[P256] = {"EC", "P-256", 0},
	[P384] = {"EC", "P-384", 0},
	[P521] = {"EC", "P-521", 0},
	[BP256] = {"EC", "brainpoolP256r1", 0},
	[BP384] = {"EC", "brainpoolP384r1", 0},
	[BP512] = {"EC", "brainpoolP512r1", 0},
	[K256] = {"EC", "secp256k1", 0},
	[ED25519] = {"ED25519", NULL, 0},
};

static EVP_PKEY *keys[KEYS];
static unsigned char secret[32] = {1, 2, 3};

static long failed(void)
{
	unsigned long e = ERR_get_error();
	return e ? (long)e : -1;
}

static long check(int ok) { return ok == 1 ? 0 : failed(); }

static EVP_PKEY *generate(int k)
{
	if (kinds[k].curve)
		return EVP_PKEY_Q_keygen(NULL, NULL, kinds[k].type, kinds[k].curve);
	if (kinds[k].bits)
		return EVP_PKEY_Q_keygen(NULL, NULL, kinds[k].type, (size_t)kinds[k].bits);
	return EVP_PKEY_Q_keygen(NULL, NULL, kinds[k].type);
}

static long prepare_key(const struct op *op)
{
	if (!keys[op->which])
		keys[op->which] = generate(op->which);
	return keys[op->which] ? 0 : failed();
}

static int is_rsa(int k) { return k <= RSA4096; }

/* Signatures of what is hashed already */

static int padding(const struct op *op, EVP_PKEY_CTX *c)
{
	int pad = op->mechanism ? (int)op->mechanism : RSA_PKCS1_PADDING;
	if (!is_rsa(op->which))
		return 1;
	if (EVP_PKEY_CTX_set_rsa_padding(c, pad) != 1)
		return 0;
	if (pad == RSA_PKCS1_OAEP_PADDING)
		return 1;
	if (pad == RSA_PKCS1_PSS_PADDING && EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) != 1)
		return 0;
	return EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1;
}

static long begin_sign(struct worker *w)
{
	EVP_PKEY_CTX *c = w->context = EVP_PKEY_CTX_new(keys[w->op->which], NULL);
	return check(c && EVP_PKEY_sign_init(c) == 1 && padding(w->op, c));
}

static long once_sign(struct worker *w)
{
	w->in_len = sizeof w->in;
	return check(EVP_PKEY_sign(w->context, w->in, &w->in_len, w->data, w->op->size));
}

static void end_pkey(struct worker *w)
{
	EVP_PKEY_CTX_free(w->context);
	w->context = NULL;
}

static long begin_verify(struct worker *w)
{
	long rv = begin_sign(w);
	if (!rv)
		rv = once_sign(w);
	end_pkey(w);
	EVP_PKEY_CTX *c = w->context = EVP_PKEY_CTX_new(keys[w->op->which], NULL);
	return rv ? rv : check(c && EVP_PKEY_verify_init(c) == 1 && padding(w->op, c));
}

static long once_verify(struct worker *w)
{
	return check(EVP_PKEY_verify(w->context, w->in, w->in_len, w->data, w->op->size));
}

/* RSA encryption */

static long begin_rsa_encrypt(struct worker *w)
{
	EVP_PKEY_CTX *c = w->context = EVP_PKEY_CTX_new(keys[w->op->which], NULL);
	return check(c && EVP_PKEY_encrypt_init(c) == 1 && EVP_PKEY_CTX_set_rsa_padding(c, (int)w->op->mechanism) == 1);
}

static long once_rsa_encrypt(struct worker *w)
{
	w->in_len = sizeof w->in;
	return check(EVP_PKEY_encrypt(w->context, w->in, &w->in_len, w->data, w->op->size));
}

static long begin_rsa_decrypt(struct worker *w)
{
	long rv = begin_rsa_encrypt(w);
	if (!rv)
		rv = once_rsa_encrypt(w);
	end_pkey(w);
	EVP_PKEY_CTX *c = w->context = EVP_PKEY_CTX_new(keys[w->op->which], NULL);
	return rv ? rv : check(c && EVP_PKEY_decrypt_init(c) == 1 && EVP_PKEY_CTX_set_rsa_padding(c, (int)w->op->mechanism) == 1);
}

static long once_rsa_decrypt(struct worker *w)
{
	w->out_len = sizeof w->out;
	return check(EVP_PKEY_decrypt(w->context, w->out, &w->out_len, w->in, w->in_len));
}

/* Key agreement with the key's own point */

static long begin_ecdh(struct worker *w)
{
	EVP_PKEY_CTX *c = w->context = EVP_PKEY_CTX_new(keys[w->op->which], NULL);
	return check(c && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_derive_set_peer(c, keys[w->op->which]) == 1);
}

static long once_ecdh(struct worker *w)
{
	w->out_len = sizeof w->out;
	return check(EVP_PKEY_derive(w->context, w->out, &w->out_len));
}

static long once_keygen(struct worker *w)
{
	EVP_PKEY *k = generate(w->op->which);
	long rv = k ? 0 : failed();
	EVP_PKEY_free(k);
	return rv;
}

/* Ed25519, whose context begins anew with each message */

static long begin_eddsa(struct worker *w) { return check((w->context = EVP_MD_CTX_new()) != NULL); }

static long once_eddsa_sign(struct worker *w)
{
	w->in_len = sizeof w->in;
	return check(EVP_DigestSignInit(w->context, NULL, NULL, NULL, keys[w->op->which]) == 1 &&
		EVP_DigestSign(w->context, w->in, &w->in_len, w->data, w->op->size) == 1);
}

static long begin_eddsa_verify(struct worker *w)
{
	long rv = begin_eddsa(w);
	return rv ? rv : once_eddsa_sign(w);
}

static long once_eddsa_verify(struct worker *w)
{
	return check(EVP_DigestVerifyInit(w->context, NULL, NULL, NULL, keys[w->op->which]) == 1 &&
		EVP_DigestVerify(w->context, w->in, w->in_len, w->data, w->op->size) == 1);
}

static void end_md(struct worker *w)
{
	EVP_MD_CTX_free(w->context);
	w->context = NULL;
}

/* Ciphers */

enum { GCM, CBC, CTR, ECB, DES3_CBC, CIPHERS };

static const char *const ciphers[CIPHERS] = {"AES-256-GCM", "AES-256-CBC", "AES-256-CTR", "AES-256-ECB", "DES-EDE3-CBC"};

static long begin_cipher(struct worker *w, int encrypt)
{
	static const unsigned char iv[16];
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, ciphers[w->op->which], NULL);
	EVP_CIPHER_CTX *c = w->context = EVP_CIPHER_CTX_new();
	long rv = check(cipher && c && EVP_CipherInit_ex2(c, cipher, secret, iv, encrypt, NULL) == 1 && EVP_CIPHER_CTX_set_padding(c, 0) == 1);
	EVP_CIPHER_free(cipher);
	return rv;
}

static long begin_encrypt(struct worker *w) { return begin_cipher(w, 1); }

static long once_encrypt(struct worker *w)
{
	unsigned char iv[16] = {0};
	int n, rest;
	w->counter++;
	memcpy(iv, &w->counter, sizeof w->counter);
	int ok = EVP_EncryptInit_ex2(w->context, NULL, NULL, iv, NULL) == 1 &&
		EVP_EncryptUpdate(w->context, w->in, &n, w->data, (int)w->op->size) == 1 &&
		EVP_EncryptFinal_ex(w->context, w->in + n, &rest) == 1;
	if (ok && w->op->which == GCM)
		ok = EVP_CIPHER_CTX_ctrl(w->context, EVP_CTRL_AEAD_GET_TAG, 16, w->in + w->op->size) == 1;
	return check(ok);
}

static void end_cipher(struct worker *w)
{
	EVP_CIPHER_CTX_free(w->context);
	w->context = NULL;
}

static long begin_decrypt(struct worker *w)
{
	w->counter = 0;
	long rv = begin_encrypt(w);
	if (!rv)
		rv = once_encrypt(w);
	end_cipher(w);
	return rv ? rv : begin_cipher(w, 0);
}

static long once_decrypt(struct worker *w)
{
	unsigned char iv[16] = {0};
	int n, rest, ok = 1;
	memcpy(iv, &w->counter, sizeof w->counter);
	ok = EVP_DecryptInit_ex2(w->context, NULL, NULL, iv, NULL) == 1;
	if (w->op->which == GCM)
		ok = ok && EVP_CIPHER_CTX_ctrl(w->context, EVP_CTRL_AEAD_SET_TAG, 16, w->in + w->op->size) == 1;
	ok = ok && EVP_DecryptUpdate(w->context, w->out, &n, w->in, (int)w->op->size) == 1 &&
		EVP_DecryptFinal_ex(w->context, w->out + n, &rest) == 1;
	return check(ok);
}

/* Digests, codes, random numbers */

static const char *const digests[] = {"MD5", "SHA1", "SHA256", "SHA384", "SHA512"};
enum { MD5, SHA1, SHA256, SHA384, SHA512 };

static long begin_digest(struct worker *w)
{
	EVP_MD *md = EVP_MD_fetch(NULL, digests[w->op->which], NULL);
	w->context = EVP_MD_CTX_new();
	long rv = check(md && w->context && EVP_DigestInit_ex2(w->context, md, NULL) == 1);
	EVP_MD_free(md);
	return rv;
}

static long once_digest(struct worker *w)
{
	unsigned n;
	return check(EVP_DigestInit_ex2(w->context, NULL, NULL) == 1 && EVP_DigestUpdate(w->context, w->data, w->op->size) == 1 &&
		EVP_DigestFinal_ex(w->context, w->out, &n) == 1);
}

static long begin_mac(struct worker *w, const char *name, const char *parameter, const char *value)
{
	OSSL_PARAM p[] = {OSSL_PARAM_construct_utf8_string(parameter, (char *)(size_t)value, 0), OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, name, NULL);
	w->context = mac ? EVP_MAC_CTX_new(mac) : NULL;
	long rv = check(w->context && EVP_MAC_init(w->context, secret, sizeof secret, p) == 1);
	EVP_MAC_free(mac);
	return rv;
}

static long begin_hmac(struct worker *w) { return begin_mac(w, "HMAC", OSSL_MAC_PARAM_DIGEST, digests[w->op->which]); }
static long begin_cmac(struct worker *w) { return begin_mac(w, "CMAC", OSSL_MAC_PARAM_CIPHER, "AES-256-CBC"); }

static long once_mac(struct worker *w)
{
	return check(EVP_MAC_init(w->context, NULL, 0, NULL) == 1 && EVP_MAC_update(w->context, w->data, w->op->size) == 1 &&
		EVP_MAC_final(w->context, w->out, &w->out_len, sizeof w->out) == 1);
}

static void end_mac(struct worker *w)
{
	EVP_MAC_CTX_free(w->context);
	w->context = NULL;
}

static long once_random(struct worker *w) { return check(RAND_bytes(w->out, (int)w->op->size)); }

#define SIGN(name, pad, size, key) {name, pad, size, key, prepare_key, begin_sign, once_sign, end_pkey, 0}
#define VERIFY(name, pad, size, key) {name, pad, size, key, prepare_key, begin_verify, once_verify, end_pkey, 0}
#define KEYGEN(name, key) {name, 0, 0, key, NULL, NULL, once_keygen, NULL, 0}
#define ENCRYPT(name, size, cipher) {name, 0, size, cipher, NULL, begin_encrypt, once_encrypt, end_cipher, 0}
#define DECRYPT(name, size, cipher) {name, 0, size, cipher, NULL, begin_decrypt, once_decrypt, end_cipher, 0}
#define DIGEST(name, size, digest) {name, 0, size, digest, NULL, begin_digest, once_digest, end_md, 0}
#define HMAC(name, size, digest) {name, 0, size, digest, NULL, begin_hmac, once_mac, end_mac, 0}
#define CURVE(name, digest, key) \
	SIGN(name "-sign", 0, digest, key), VERIFY(name "-verify", 0, digest, key), \
	{name "-ecdh", 0, 0, key, prepare_key, begin_ecdh, once_ecdh, end_pkey, 0}, \
	KEYGEN(name "-keygen", key)
#define RSA(bits) \
	SIGN("rsa" #bits "-sign", 0, 32, RSA##bits), VERIFY("rsa" #bits "-verify", 0, 32, RSA##bits), \
	KEYGEN("rsa" #bits "-keygen", RSA##bits)

static const struct op ops[] = {
	RSA(2048), RSA(3072), RSA(4096),
	SIGN("rsa2048-pss-sign", RSA_PKCS1_PSS_PADDING, 32, RSA2048),
	VERIFY("rsa2048-pss-verify", RSA_PKCS1_PSS_PADDING, 32, RSA2048),
	{"rsa2048-oaep-encrypt", RSA_PKCS1_OAEP_PADDING, 32, RSA2048, prepare_key, begin_rsa_encrypt, once_rsa_encrypt, end_pkey, 0},
	{"rsa2048-oaep-decrypt", RSA_PKCS1_OAEP_PADDING, 32, RSA2048, prepare_key, begin_rsa_decrypt, once_rsa_decrypt, end_pkey, 0},
	{"rsa2048-pkcs1-decrypt", RSA_PKCS1_PADDING, 32, RSA2048, prepare_key, begin_rsa_decrypt, once_rsa_decrypt, end_pkey, 0},
	CURVE("p256", 32, P256), CURVE("p384", 48, P384), CURVE("p521", 64, P521),
	CURVE("brainpool256", 32, BP256), CURVE("brainpool384", 48, BP384), CURVE("brainpool512", 64, BP512),
	CURVE("secp256k1", 32, K256),
	{"ed25519-sign", 0, 32, ED25519, prepare_key, begin_eddsa, once_eddsa_sign, end_md, 0},
	{"ed25519-verify", 0, 32, ED25519, prepare_key, begin_eddsa_verify, once_eddsa_verify, end_md, 0},
	KEYGEN("ed25519-keygen", ED25519),
	ENCRYPT("aes256-gcm-16", 16, GCM), ENCRYPT("aes256-gcm-64", 64, GCM),
	ENCRYPT("aes256-gcm-1024", 1024, GCM), ENCRYPT("aes256-gcm-16384", 16384, GCM),
	DECRYPT("aes256-gcm-decrypt-1024", 1024, GCM),
	ENCRYPT("aes256-cbc-16", 16, CBC), ENCRYPT("aes256-cbc-1024", 1024, CBC), ENCRYPT("aes256-cbc-16384", 16384, CBC),
	DECRYPT("aes256-cbc-decrypt-1024", 1024, CBC), DECRYPT("aes256-cbc-decrypt-16384", 16384, CBC),
	ENCRYPT("aes256-ctr-1024", 1024, CTR), ENCRYPT("aes256-ctr-16384", 16384, CTR),
	ENCRYPT("aes256-ecb-1024", 1024, ECB), ENCRYPT("des3-cbc-1024", 1024, DES3_CBC),
	{"aes256-cmac-1024", 0, 1024, 0, NULL, begin_cmac, once_mac, end_mac, 0},
	DIGEST("md5-1024", 1024, MD5),
	DIGEST("sha1-64", 64, SHA1), DIGEST("sha1-16384", 16384, SHA1),
	DIGEST("sha256-64", 64, SHA256), DIGEST("sha256-1024", 1024, SHA256), DIGEST("sha256-16384", 16384, SHA256),
	DIGEST("sha384-64", 64, SHA384),
	DIGEST("sha512-64", 64, SHA512), DIGEST("sha512-16384", 16384, SHA512),
	HMAC("hmac-sha1-64", 64, SHA1),
	HMAC("hmac-sha256-64", 64, SHA256), HMAC("hmac-sha256-16384", 16384, SHA256),
	HMAC("hmac-sha512-64", 64, SHA512), HMAC("hmac-sha512-16384", 16384, SHA512),
	{"random-32", 0, 32, 0, NULL, NULL, once_random, NULL, 0},
	{"random-4096", 0, 4096, 0, NULL, NULL, once_random, NULL, 0},
};

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "version") == 0) {
		puts(OpenSSL_version(OPENSSL_VERSION));
		return 0;
	}
	if (argc != 1) {
		fprintf(stderr, "usage: openssl [version]\n");
		return 2;
	}
	serve(ops, sizeof ops / sizeof ops[0], NULL, NULL);
	return 0;
}
