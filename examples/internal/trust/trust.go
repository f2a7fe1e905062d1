// Package trust makes the TLS configuration of clients from what their flags say.
package trust

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Config trusts the certificates in the file ca alone, or those of the system if ca is empty.
// Insecure trusts any certificate.
func Config(ca string, insecure bool) (*tls.Config, error) {
	tc := &tls.Config{InsecureSkipVerify: insecure}
	if ca == "" {
		return tc, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	tc.RootCAs = x509.NewCertPool()
	if !tc.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", ca)
	}
	return tc, nil
}
