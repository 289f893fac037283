// Prints whether a chain of certificates, the last of which is trusted, is valid. Like Apple's
// systems, Java does not apply the limits in the certificate that is trusted.

import java.io.FileInputStream;
import java.io.InputStream;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

class CheckChain {
    public static void main(String[] paths) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        for (String path : paths) {
            try (InputStream file = new FileInputStream(path)) {
                List<Certificate> chain = new ArrayList<>(factory.generateCertificates(file));
                X509Certificate root = (X509Certificate) chain.remove(chain.size() - 1);
                PKIXParameters trust = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
                trust.setRevocationEnabled(false);
                CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(chain), trust);
                System.out.println("valid");
            } catch (CertPathValidatorException problem) {
                System.out.println(problem.getMessage());
            }
        }
    }
}
