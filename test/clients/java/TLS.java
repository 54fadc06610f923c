import java.net.Socket;
import java.nio.ByteBuffer;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.List;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLEngineResult.HandshakeStatus;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;

/**
 * A TLS server whose key and certificate are in the token, and a client that
 * trusts the certificate, hand in hand in memory; then once more with the token
 * before all other providers, so that it computes all that it can of TLS.
 *
 * java TLS.java CONFIGURATION ALIAS..., with the PIN in CLIENTS_PIN.
 */
public class TLS {
    public static void main(String[] args) throws Exception {
        char[] pin = System.getenv("CLIENTS_PIN").toCharArray();
        Provider provider = Security.getProvider("SunPKCS11").configure(args[0]);
        Security.addProvider(provider);
        KeyStore token = KeyStore.getInstance("PKCS11", provider);
        token.load(null, pin);
        handshakes(token, args, "");
        Security.removeProvider(provider.getName());
        Security.insertProviderAt(provider, 1);
        handshakes(token, args, " and the token first");
        System.out.println("end");
    }

    static void handshakes(KeyStore token, String[] args, String how) {
        for (int i = 1; i < args.length; i++) {
            for (String version : List.of("TLSv1.2", "TLSv1.3")) {
                String name = version + " with key " + args[i] + how;
                try {
                    handshake(token, args[i], version);
                    System.out.println("ok " + name);
                } catch (Exception e) {
                    System.out.println("failed " + name + ": " + e + (e.getCause() == null ? "" : ", caused by " + e.getCause()));
                }
            }
        }
    }

    static void handshake(KeyStore token, String alias, String version) throws Exception {
        SSLContext serverContext = SSLContext.getInstance(version);
        serverContext.init(new KeyManager[] {new OneKey(token, alias)}, null, null);
        SSLEngine server = serverContext.createSSLEngine();
        server.setUseClientMode(false);

        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("server", token.getCertificate(alias));
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        SSLContext clientContext = SSLContext.getInstance(version);
        clientContext.init(null, trust.getTrustManagers(), null);
        SSLEngine client = clientContext.createSSLEngine("localhost", 443);
        client.setUseClientMode(true);
        SSLParameters parameters = client.getSSLParameters();
        parameters.setProtocols(new String[] {version});
        parameters.setServerNames(List.of(new SNIHostName("localhost")));
        client.setSSLParameters(parameters);

        ByteBuffer toServer = ByteBuffer.allocate(1 << 16);
        ByteBuffer toClient = ByteBuffer.allocate(1 << 16);
        byte[] request = "a request".getBytes();
        byte[] received = null;
        ByteBuffer pending = ByteBuffer.wrap(request);
        for (int round = 0; round < 100 && received == null; round++) {
            produce(client, pending, toServer);
            received = consume(server, toServer, received);
            produce(server, ByteBuffer.allocate(0), toClient);
            consume(client, toClient, null);
        }
        if (received == null || !Arrays.equals(received, request)) {
            throw new Exception("the request did not arrive");
        }
        String kind = token.getCertificate(alias).getPublicKey().getAlgorithm();
        String peer = client.getSession().getPeerCertificates()[0].getPublicKey().getAlgorithm();
        if (!client.getSession().getProtocol().equals(version) || !peer.equals(kind)) {
            throw new Exception("the handshake was " + client.getSession() + " with a certificate for " + peer);
        }
    }

    /** Offers one entry of the token, whose key stays there. */
    static class OneKey extends X509ExtendedKeyManager {
        final String alias;
        final PrivateKey key;
        final X509Certificate[] chain;

        OneKey(KeyStore token, String alias) throws Exception {
            this.alias = alias;
            key = (PrivateKey) token.getKey(alias, null);
            Certificate[] certificates = token.getCertificateChain(alias);
            chain = Arrays.copyOf(certificates, certificates.length, X509Certificate[].class);
        }

        @Override public String chooseEngineServerAlias(String keyType, Principal[] issuers, SSLEngine engine) {
            return keyType.startsWith(chain[0].getPublicKey().getAlgorithm()) ? alias : null;
        }

        @Override public PrivateKey getPrivateKey(String alias) {
            return key;
        }

        @Override public X509Certificate[] getCertificateChain(String alias) {
            return chain;
        }

        @Override public String[] getClientAliases(String keyType, Principal[] issuers) {
            return null;
        }

        @Override public String chooseClientAlias(String[] keyType, Principal[] issuers, Socket socket) {
            return null;
        }

        @Override public String[] getServerAliases(String keyType, Principal[] issuers) {
            return new String[] {alias};
        }

        @Override public String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
            return alias;
        }
    }

    static void produce(SSLEngine engine, ByteBuffer data, ByteBuffer out) throws Exception {
        SSLEngineResult result;
        do {
            runTasks(engine);
            if (engine.getHandshakeStatus() == HandshakeStatus.NEED_UNWRAP) {
                return;
            }
            result = engine.wrap(data, out);
        } while (result.bytesProduced() > 0 && result.getHandshakeStatus() != HandshakeStatus.NEED_UNWRAP);
    }

    static byte[] consume(SSLEngine engine, ByteBuffer in, byte[] received) throws Exception {
        in.flip();
        ByteBuffer data = ByteBuffer.allocate(1 << 16);
        while (in.hasRemaining()) {
            SSLEngineResult result = engine.unwrap(in, data);
            runTasks(engine);
            if (result.bytesConsumed() == 0 && result.getHandshakeStatus() != HandshakeStatus.NEED_TASK) {
                break;
            }
        }
        in.compact();
        data.flip();
        if (!data.hasRemaining()) {
            return received;
        }
        byte[] bytes = new byte[data.remaining()];
        data.get(bytes);
        return bytes;
    }

    static void runTasks(SSLEngine engine) {
        for (Runnable task = engine.getDelegatedTask(); task != null; task = engine.getDelegatedTask()) {
            task.run();
        }
    }
}
