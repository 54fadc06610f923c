import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigInteger;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.HashMap;
import java.util.Map;
import org.bouncycastle.crypto.*;
import org.bouncycastle.crypto.agreement.*;
import org.bouncycastle.crypto.digests.*;
import org.bouncycastle.crypto.engines.*;
import org.bouncycastle.crypto.generators.*;
import org.bouncycastle.crypto.macs.*;
import org.bouncycastle.crypto.modes.*;
import org.bouncycastle.crypto.paddings.*;
import org.bouncycastle.crypto.params.*;
import org.bouncycastle.crypto.signers.*;
import org.bouncycastle.crypto.util.PrivateKeyFactory;
import org.bouncycastle.crypto.util.PublicKeyFactory;
import org.bouncycastle.pqc.crypto.lms.*;
import org.bouncycastle.pqc.crypto.sphincsplus.*;
import org.bouncycastle.pqc.crypto.xmss.*;
import org.bouncycastle.util.Arrays;
import org.bouncycastle.util.BigIntegers;
import org.bouncycastle.util.Pack;
import org.bouncycastle.util.encoders.Hex;

/**
 * Bouncy Castle behind the line protocol of openssl.c: words in, "ok" with bytes
 * in hexadecimal or "no" with a reason out.
 */
public class BouncyCastle {
    interface Command {
        byte[] run(String[] w) throws Exception;
    }

    static final Map<String, Command> commands = new HashMap<>();

    static String request;
    static long drawn;

    /** Randomness that the request determines. */
    static final SecureRandom random = new SecureRandom() {
        @Override
        public void nextBytes(byte[] b) {
            try {
                for (int i = 0; i < b.length; i += 32) {
                    byte[] block = MessageDigest.getInstance("SHA-256").digest((request + drawn++).getBytes());
                    System.arraycopy(block, 0, b, i, Math.min(32, b.length - i));
                }
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
    };

    static byte[] hex(String s) {
        return s.equals("-") ? new byte[0] : Hex.decode(s);
    }

    static int number(String s) {
        return Integer.parseInt(s);
    }

    /** The options name=value from a word on; names of byte strings begin with "hex". */
    static Map<String, String> options(String[] w, int first) {
        Map<String, String> m = new HashMap<>();
        for (int i = first; i < w.length; i++) {
            int eq = w[i].indexOf('=');
            m.put(w[i].substring(0, eq), w[i].substring(eq + 1));
        }
        return m;
    }

    static byte[] bytes(Map<String, String> o, String name) {
        return Hex.decode(o.getOrDefault("hex" + name, ""));
    }

    static Digest digest(String name) {
        if (name.startsWith("BLAKE2B-")) {
            return new Blake2bDigest(number(name.substring(8)));
        }
        if (name.startsWith("SHA-512/")) {
            return new SHA512tDigest(number(name.substring(8)));
        }
        if (name.startsWith("SHA3-")) {
            return new SHA3Digest(number(name.substring(5)));
        }
        if (name.startsWith("SHAKE")) {
            return new SHAKEDigest(number(name.substring(5)));
        }
        switch (name) {
            case "MD2": return new MD2Digest();
            case "MD5": return new MD5Digest();
            case "SHA-1": return new SHA1Digest();
            case "SHA-224": return new SHA224Digest();
            case "SHA-256": return new SHA256Digest();
            case "SHA-384": return new SHA384Digest();
            case "SHA-512": return new SHA512Digest();
            case "RIPEMD128": return new RIPEMD128Digest();
            case "RIPEMD160": return new RIPEMD160Digest();
            case "SM3": return new SM3Digest();
        }
        throw new IllegalArgumentException("no digest " + name);
    }

    static BlockCipher engine(String name) {
        switch (name) {
            case "AES": return new AESEngine();
            case "ARIA": return new ARIAEngine();
            case "Camellia": return new CamelliaEngine();
            case "SEED": return new SEEDEngine();
            case "SM4": return new SM4Engine();
            case "DES": return new DESEngine();
            case "DESede": return new DESedeEngine();
            case "CAST5": return new CAST5Engine();
            case "Blowfish": return new BlowfishEngine();
            case "Twofish": return new TwofishEngine();
            case "RC2": return new RC2Engine();
            case "RC5": return new RC532Engine();
            case "RC5-64": return new RC564Engine();
        }
        throw new IllegalArgumentException("no cipher " + name);
    }

    static CipherParameters key(String name, byte[] key, Map<String, String> o) {
        if (name.startsWith("RC5")) {
            return new RC5Parameters(key, number(o.get("rounds")));
        }
        if (name.equals("RC2") && o.containsKey("keybits")) {
            return new RC2Parameters(key, number(o.get("keybits")));
        }
        return new KeyParameter(key);
    }

    static byte[] all(BufferedBlockCipher c, byte[] in) throws Exception {
        byte[] out = new byte[c.getOutputSize(in.length)];
        int n = c.processBytes(in, 0, in.length, out, 0);
        n += c.doFinal(out, n);
        return Arrays.copyOf(out, n);
    }

    /** cipher ENGINE MODE enc|dec KEY IV pad|raw DATA NAME=VALUE... */
    static byte[] cipher(String[] w) throws Exception {
        boolean enc = w[3].equals("enc");
        byte[] iv = hex(w[5]);
        byte[] in = hex(w[7]);
        CipherParameters p = key(w[1], hex(w[4]), options(w, 8));
        BlockCipher e = engine(w[1]);
        String mode = w[2];
        if (iv.length > 0) {
            p = new ParametersWithIV(p, iv);
        }
        BufferedBlockCipher c;
        if (mode.startsWith("CS")) {
            c = new NISTCTSBlockCipher(number(mode.substring(2)), e);
        } else {
            BlockCipher m;
            if (mode.equals("ECB")) {
                m = e;
            } else if (mode.equals("CBC")) {
                m = new CBCBlockCipher(e);
            } else if (mode.startsWith("CFB")) {
                m = new CFBBlockCipher(e, number(mode.substring(3)));
            } else if (mode.startsWith("OFB")) {
                m = new OFBBlockCipher(e, number(mode.substring(3)));
            } else if (mode.equals("CTR")) {
                m = new SICBlockCipher(e);
            } else {
                throw new IllegalArgumentException("no mode " + mode);
            }
            c = w[6].equals("pad") ? new PaddedBufferedBlockCipher(m) : new BufferedBlockCipher(m);
        }
        c.init(enc, p);
        return all(c, in);
    }

    /** aead ENGINE GCM|CCM|ChaCha20-Poly1305 enc|dec KEY IV AAD TAGLEN DATA; the tag is behind the ciphertext. */
    static byte[] aead(String[] w) throws Exception {
        AEADCipher c;
        switch (w[2]) {
            case "GCM": c = new GCMBlockCipher(engine(w[1])); break;
            case "CCM": c = new CCMBlockCipher(engine(w[1])); break;
            default: c = new ChaCha20Poly1305();
        }
        byte[] in = hex(w[8]);
        c.init(w[3].equals("enc"), new AEADParameters(new KeyParameter(hex(w[4])), 8 * number(w[7]), hex(w[5]), hex(w[6])));
        byte[] out = new byte[c.getOutputSize(in.length)];
        int n = c.processBytes(in, 0, in.length, out, 0);
        n += c.doFinal(out, n);
        return Arrays.copyOf(out, n);
    }

    /** stream ENGINE KEY IV DATA */
    static byte[] stream(String[] w) {
        StreamCipher c;
        switch (w[1]) {
            case "Salsa20": c = new Salsa20Engine(); break;
            case "XSalsa20": c = new XSalsa20Engine(); break;
            case "ChaCha": c = new ChaChaEngine(); break;
            case "ChaCha20": c = new ChaCha7539Engine(); break;
            case "RC4": c = new RC4Engine(); break;
            default: throw new IllegalArgumentException("no stream cipher " + w[1]);
        }
        byte[] iv = hex(w[3]);
        byte[] in = hex(w[4]);
        CipherParameters p = new KeyParameter(hex(w[2]));
        c.init(true, iv.length > 0 ? new ParametersWithIV(p, iv) : p);
        byte[] out = new byte[in.length];
        c.processBytes(in, 0, in.length, out, 0);
        return out;
    }

    /** wrap KW|KWP ENGINE enc|dec KEY DATA */
    static byte[] wrap(String[] w) throws Exception {
        Wrapper c = w[1].equals("KW") ? new RFC3394WrapEngine(engine(w[2])) : new RFC5649WrapEngine(engine(w[2]));
        byte[] in = hex(w[5]);
        c.init(w[3].equals("enc"), new KeyParameter(hex(w[4])));
        return w[3].equals("enc") ? c.wrap(in, 0, in.length) : c.unwrap(in, 0, in.length);
    }

    /** digest NAME LENGTH DATA */
    static byte[] digest(String[] w) {
        Digest d = digest(w[1]);
        byte[] in = hex(w[3]);
        d.update(in, 0, in.length);
        int n = number(w[2]);
        if (n > 0) {
            byte[] out = new byte[n];
            ((Xof) d).doFinal(out, 0, n);
            return out;
        }
        byte[] out = new byte[d.getDigestSize()];
        d.doFinal(out, 0);
        return out;
    }

    /** mac NAME KEY DATA NAME=VALUE... */
    static byte[] mac(String[] w) {
        Map<String, String> o = options(w, 4);
        byte[] key = hex(w[2]);
        byte[] in = hex(w[3]);
        CipherParameters p = new KeyParameter(key);
        Mac m;
        switch (w[1]) {
            case "HMAC": m = new HMac(digest(o.get("digest"))); break;
            case "BLAKE2B": {
                Blake2bDigest d = new Blake2bDigest(key, number(o.get("size")), null, null);
                d.update(in, 0, in.length);
                byte[] out = new byte[d.getDigestSize()];
                d.doFinal(out, 0);
                return out;
            }
            case "KMAC": m = new KMAC(number(o.get("bits")), bytes(o, "custom")); break;
            case "Poly1305": m = new Poly1305(); break;
            case "CMAC": m = new CMac(engine(o.get("cipher"))); break;
            case "GMAC":
                m = new GMac(new GCMBlockCipher(engine(o.get("cipher"))));
                p = new ParametersWithIV(p, bytes(o, "iv"));
                break;
            case "CBCMAC":
                m = new CBCBlockCipherMac(engine(o.get("cipher")), 8 * number(o.get("size")), new ZeroBytePadding());
                p = key(o.get("cipher"), key, o);
                break;
            case "RETAIL": m = new ISO9797Alg3Mac(new DESEngine()); break;
            default: throw new IllegalArgumentException("no MAC " + w[1]);
        }
        m.init(p);
        m.update(in, 0, in.length);
        byte[] out = new byte[m.getMacSize()];
        if (o.containsKey("length") && m instanceof Xof) {
            out = new byte[number(o.get("length"))];
            ((Xof) m).doFinal(out, 0, out.length);
            return out;
        }
        m.doFinal(out, 0);
        return out;
    }

    /** pkcs1 DIGEST PRIVATE DATA */
    static byte[] pkcs1(String[] w) throws Exception {
        RSADigestSigner s = new RSADigestSigner(digest(w[1]));
        byte[] in = hex(w[3]);
        s.init(true, PrivateKeyFactory.createKey(hex(w[2])));
        s.update(in, 0, in.length);
        return s.generateSignature();
    }

    /** x931 DIGEST PRIVATE DATA */
    static byte[] x931(String[] w) throws Exception {
        X931Signer s = new X931Signer(new RSABlindedEngine(), digest(w[1]));
        byte[] in = hex(w[3]);
        s.init(true, PrivateKeyFactory.createKey(hex(w[2])));
        s.update(in, 0, in.length);
        return s.generateSignature();
    }

    static <T> T privateKey(String der, Class<T> type) throws Exception {
        return type.cast(PrivateKeyFactory.createKey(hex(der)));
    }

    static <T> T publicKey(String der, Class<T> type) throws Exception {
        return type.cast(PublicKeyFactory.createKey(hex(der)));
    }

    /** rfc6979 DIGEST PRIVATE DATA: a deterministic signature of ECDSA. */
    static byte[] rfc6979(String[] w) throws Exception {
        byte[] in = hex(w[3]);
        DSADigestSigner s = new DSADigestSigner(new ECDSASigner(new HMacDSAKCalculator(digest(w[1]))), digest(w[1]));
        s.init(true, PrivateKeyFactory.createKey(hex(w[2])));
        s.update(in, 0, in.length);
        return s.generateSignature();
    }

    /** eddsa VARIANT PRIVATE CONTEXT DATA */
    static byte[] eddsa(String[] w) throws Exception {
        byte[] context = hex(w[3]);
        byte[] in = hex(w[4]);
        Signer s;
        switch (w[1]) {
            case "ED25519ctx": s = new Ed25519ctxSigner(context); break;
            case "ED25519ph": s = new Ed25519phSigner(context); break;
            case "ED448ctx": s = new Ed448Signer(context); break;
            default: s = new Ed448phSigner(context);
        }
        s.init(true, PrivateKeyFactory.createKey(hex(w[2])));
        s.update(in, 0, in.length);
        return s.generateSignature();
    }

    /** sm2 C1C2C3|C1C3C2 enc|dec KEY DATA */
    static byte[] sm2(String[] w) throws Exception {
        SM2Engine e = new SM2Engine(SM2Engine.Mode.valueOf(w[1]));
        byte[] in = hex(w[4]);
        if (w[2].equals("enc")) {
            e.init(true, new ParametersWithRandom(PublicKeyFactory.createKey(hex(w[3])), random));
        } else {
            e.init(false, PrivateKeyFactory.createKey(hex(w[3])));
        }
        return e.processBlock(in, 0, in.length);
    }

    /** sm2exchange initiator|responder LENGTH STATIC EPHEMERAL ID STATIC EPHEMERAL ID */
    static byte[] sm2exchange(String[] w) throws Exception {
        SM2KeyExchange e = new SM2KeyExchange();
        e.init(new ParametersWithID(new SM2KeyExchangePrivateParameters(w[1].equals("initiator"),
            privateKey(w[3], ECPrivateKeyParameters.class), privateKey(w[4], ECPrivateKeyParameters.class)), hex(w[5])));
        return e.calculateKey(8 * number(w[2]), new ParametersWithID(new SM2KeyExchangePublicParameters(
            publicKey(w[6], ECPublicKeyParameters.class), publicKey(w[7], ECPublicKeyParameters.class)), hex(w[8])));
    }

    /** mqv STATIC EPHEMERAL STATIC EPHEMERAL */
    static byte[] mqv(String[] w) throws Exception {
        ECMQVBasicAgreement a = new ECMQVBasicAgreement();
        a.init(new MQVPrivateParameters(privateKey(w[1], ECPrivateKeyParameters.class), privateKey(w[2], ECPrivateKeyParameters.class)));
        BigInteger z = a.calculateAgreement(new MQVPublicParameters(
            publicKey(w[3], ECPublicKeyParameters.class), publicKey(w[4], ECPublicKeyParameters.class)));
        return BigIntegers.asUnsignedByteArray(a.getFieldSize(), z);
    }

    /** ecies enc|dec KEY DIGEST CIPHER KEYBITS MACBITS PRIMITIVE INFO1 INFO2 DATA, where the ephemeral point comes first. */
    static byte[] ecies(String[] w) throws Exception {
        BasicAgreement agreement = w[7].equals("3") ? new ECDHCBasicAgreement() : new ECDHBasicAgreement();
        String[] cipher = w[4].split("/");
        BufferedBlockCipher c = null;
        if (cipher.length == 2) {
            BlockCipher cbc = new CBCBlockCipher(engine(cipher[0]));
            c = cipher[1].equals("pad") ? new PaddedBufferedBlockCipher(cbc) : new BufferedBlockCipher(cbc);
        }
        Digest d = digest(w[3]);
        IESEngine e = c == null ? new IESEngine(agreement, new KDF2BytesGenerator(digest(w[3])), new HMac(d))
            : new IESEngine(agreement, new KDF2BytesGenerator(digest(w[3])), new HMac(d), c);
        int macBits = number(w[6]);
        IESParameters p = c == null ? new IESParameters(hex(w[8]), hex(w[9]), macBits)
            : new IESWithCipherParameters(hex(w[8]), hex(w[9]), macBits, number(w[5]));
        byte[] in = hex(w[10]);
        // Both keys are given, so that the engine does not hash the point too.
        if (w[1].equals("enc")) {
            ECPublicKeyParameters pub = publicKey(w[2], ECPublicKeyParameters.class);
            ECKeyPairGenerator g = new ECKeyPairGenerator();
            g.init(new ECKeyGenerationParameters(pub.getParameters(), random));
            AsymmetricCipherKeyPair k = g.generateKeyPair();
            e.init(true, k.getPrivate(), pub, p);
            return Arrays.concatenate(((ECPublicKeyParameters) k.getPublic()).getQ().getEncoded(false), e.processBlock(in, 0, in.length));
        }
        ECPrivateKeyParameters priv = privateKey(w[2], ECPrivateKeyParameters.class);
        ECDomainParameters domain = priv.getParameters();
        int n = 1 + 2 * ((domain.getCurve().getFieldSize() + 7) / 8);
        ECPublicKeyParameters pub = new ECPublicKeyParameters(domain.getCurve().decodePoint(Arrays.copyOf(in, n)), domain);
        e.init(false, priv, pub, p);
        return e.processBlock(in, n, in.length - n);
    }

    /** kbkdf counter|feedback|pipeline PRF LENGTH KEY FIXED IV COUNTERBITS */
    static byte[] kbkdf(String[] w) throws Exception {
        Mac prf = w[2].startsWith("CMAC-") ? new CMac(engine(w[2].substring(5))) : new HMac(digest(w[2]));
        byte[] key = hex(w[4]);
        byte[] fixed = hex(w[5]);
        byte[] iv = hex(w[6]);
        int r = number(w[7]);
        DerivationFunction f;
        DerivationParameters p;
        if (w[1].equals("counter")) {
            f = new KDFCounterBytesGenerator(prf);
            p = new KDFCounterParameters(key, fixed, r);
        } else if (w[1].equals("feedback")) {
            f = new KDFFeedbackBytesGenerator(prf);
            p = r == 0 ? KDFFeedbackParameters.createWithoutCounter(key, iv, fixed) : KDFFeedbackParameters.createWithCounter(key, iv, fixed, r);
        } else {
            f = new KDFDoublePipelineIterationBytesGenerator(prf);
            p = r == 0 ? KDFDoublePipelineIterationParameters.createWithoutCounter(key, fixed)
                : KDFDoublePipelineIterationParameters.createWithCounter(key, fixed, r);
        }
        f.init(p);
        byte[] out = new byte[number(w[3])];
        f.generateBytes(out, 0, out.length);
        return out;
    }

    /** pbkdf1 DIGEST LENGTH PASSWORD SALT ITERATIONS: the key, and an IV of 8 bytes. */
    static byte[] pbkdf1(String[] w) throws Exception {
        PKCS5S1ParametersGenerator g = new PKCS5S1ParametersGenerator(digest(w[1]));
        g.init(hex(w[3]), hex(w[4]), number(w[5]));
        ParametersWithIV p = (ParametersWithIV) g.generateDerivedParameters(8 * number(w[2]), 64);
        return Arrays.concatenate(((KeyParameter) p.getParameters()).getKey(), p.getIV());
    }

    /** A byte string with its length before it. */
    static byte[] piece(byte[] b) {
        return Arrays.concatenate(Pack.intToBigEndian(b.length), b);
    }

    /** hss LMS/LMOTS,... COUNT DATA: a public key, and as many signatures. */
    static byte[] hss(String[] w) throws Exception {
        String[] levels = w[1].split(",");
        LMSParameters[] p = new LMSParameters[levels.length];
        for (int i = 0; i < p.length; i++) {
            String[] names = levels[i].split("/");
            p[i] = new LMSParameters((LMSigParameters) LMSigParameters.class.getField(names[0]).get(null),
                (LMOtsParameters) LMOtsParameters.class.getField(names[1]).get(null));
        }
        HSSKeyPairGenerator g = new HSSKeyPairGenerator();
        g.init(new HSSKeyGenerationParameters(p, random));
        AsymmetricCipherKeyPair k = g.generateKeyPair();
        byte[] out = piece(((HSSPublicKeyParameters) k.getPublic()).getEncoded());
        HSSSigner s = new HSSSigner();
        s.init(true, k.getPrivate());
        // A tree of five levels has 32 leaves.
        int n = levels.length == 1 && levels[0].contains("_h5") ? Math.min(32, number(w[2])) : number(w[2]);
        for (int i = 0; i < n; i++) {
            out = Arrays.concatenate(out, piece(s.generateSignature(hex(w[3]))));
        }
        return out;
    }

    /** xmss HEIGHT DIGEST COUNT DATA: a public key, and as many signatures. */
    static byte[] xmss(String[] w) throws Exception {
        XMSS x = new XMSS(new XMSSParameters(number(w[1]), digest(w[2])), random);
        x.generateKeys();
        byte[] out = piece(x.exportPublicKey().toByteArray());
        for (int i = 0; i < number(w[3]); i++) {
            out = Arrays.concatenate(out, piece(x.sign(hex(w[4]))));
        }
        return out;
    }

    /** xmssmt HEIGHT LAYERS DIGEST COUNT DATA */
    static byte[] xmssmt(String[] w) throws Exception {
        XMSSMT x = new XMSSMT(new XMSSMTParameters(number(w[1]), number(w[2]), digest(w[3])), random);
        x.generateKeys();
        byte[] out = piece(x.exportPublicKey());
        for (int i = 0; i < number(w[4]); i++) {
            out = Arrays.concatenate(out, piece(x.sign(hex(w[5]))));
        }
        return out;
    }

    static SPHINCSPlusParameters sphincs(String name) throws Exception {
        return (SPHINCSPlusParameters) SPHINCSPlusParameters.class.getField(name).get(null);
    }

    /** slhsign SET PRIVATE DATA */
    static byte[] slhsign(String[] w) throws Exception {
        SPHINCSPlusSigner s = new SPHINCSPlusSigner();
        s.init(true, new SPHINCSPlusPrivateKeyParameters(sphincs(w[1]), hex(w[2])));
        return s.generateSignature(hex(w[3]));
    }

    /** slhverify SET PUBLIC DATA SIGNATURE */
    static byte[] slhverify(String[] w) throws Exception {
        SPHINCSPlusSigner s = new SPHINCSPlusSigner();
        s.init(false, new SPHINCSPlusPublicKeyParameters(sphincs(w[1]), hex(w[2])));
        if (!s.verifySignature(hex(w[3]), hex(w[4]))) {
            throw new IllegalArgumentException("the signature is wrong");
        }
        return new byte[0];
    }

    public static void main(String[] args) throws Exception {
        commands.put("cipher", BouncyCastle::cipher);
        commands.put("aead", BouncyCastle::aead);
        commands.put("stream", BouncyCastle::stream);
        commands.put("wrap", BouncyCastle::wrap);
        commands.put("digest", BouncyCastle::digest);
        commands.put("mac", BouncyCastle::mac);
        commands.put("pkcs1", BouncyCastle::pkcs1);
        commands.put("x931", BouncyCastle::x931);
        commands.put("hss", BouncyCastle::hss);
        commands.put("xmss", BouncyCastle::xmss);
        commands.put("xmssmt", BouncyCastle::xmssmt);
        commands.put("slhsign", BouncyCastle::slhsign);
        commands.put("slhverify", BouncyCastle::slhverify);
        commands.put("kbkdf", BouncyCastle::kbkdf);
        commands.put("pbkdf1", BouncyCastle::pbkdf1);
        commands.put("rfc6979", BouncyCastle::rfc6979);
        commands.put("eddsa", BouncyCastle::eddsa);
        commands.put("sm2", BouncyCastle::sm2);
        commands.put("sm2exchange", BouncyCastle::sm2exchange);
        commands.put("mqv", BouncyCastle::mqv);
        commands.put("ecies", BouncyCastle::ecies);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(System.out, false);
        for (String line; (line = in.readLine()) != null; ) {
            request = line;
            drawn = 0;
            String[] w = line.split(" ");
            try {
                byte[] b = commands.get(w[0]).run(w);
                out.println("ok " + (b.length == 0 ? "-" : Hex.toHexString(b)));
            } catch (Throwable e) {
                out.println("no " + e.toString().replace('\n', ' '));
            }
            out.flush();
        }
    }
}
