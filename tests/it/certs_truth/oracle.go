// Answers with Go's own crypto/x509 and crypto/tls what etcd would say; the judge of etcdrx is held against it.
//
// It reads a JSON array of questions from stdin and writes the array of answers to stdout; an empty answer is consent.
//
// Without a module Go falls back to the settings of old releases; etcd is built with those of its Go.
//
//go:debug default=go1.26
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"time"
)

type question struct {
	Mode    string
	Chain   []byte
	Key     []byte
	Trusted []byte
	Usage   string
	Now     time.Time
	Host    string
	Address string
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		panic(err)
	}
	answers := make([]string, len(questions))
	var asked sync.WaitGroup
	for i, q := range questions {
		asked.Go(func() {
			if err := q.answer(); err != nil {
				answers[i] = err.Error()
			}
		})
	}
	asked.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}

func (q question) answer() error {
	switch q.Mode {
	case "verify":
		return q.verify()
	case "handshake":
		return q.handshake()
	case "dial":
		return q.dial()
	case "host":
		certs, err := parse(q.Chain)
		if err != nil {
			return err
		}
		return certs[0].VerifyHostname(q.Host)
	case "parse":
		_, err := x509.ParseCertificate(q.Chain)
		return err
	case "blocks":
		return fmt.Errorf("%d", blocks(q.Chain))
	case "trust":
		certs, err := parse(q.Trusted)
		if err != nil {
			return err
		}
		return fmt.Errorf("%d", len(certs))
	}
	return errors.New("unknown mode")
}

// As etcd's tlsutil.NewCertPool: every block must be a certificate.
func parse(file []byte) (certs []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		block, file = pem.Decode(file)
		if block == nil {
			return certs, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
}

func blocks(file []byte) (count int) {
	for {
		var block *pem.Block
		block, file = pem.Decode(file)
		if block == nil {
			return count
		}
		count++
	}
}

func pool(file []byte) (*x509.CertPool, error) {
	certs, err := parse(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

func (q question) verify() error {
	roots, err := pool(q.Trusted)
	if err != nil {
		return err
	}
	chain, err := parse(q.Chain)
	if err != nil {
		return err
	}
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	usage := x509.ExtKeyUsageServerAuth
	if q.Usage == "client" {
		usage = x509.ExtKeyUsageClientAuth
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   q.Now,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	return err
}

// One side shows the chain, the other judges it; the one that judges has the word.
func (q question) handshake() error {
	roots, err := pool(q.Trusted)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(q.Chain, q.Key)
	if err != nil {
		return err
	}
	now := func() time.Time { return q.Now }
	server := &tls.Config{Certificates: []tls.Certificate{pair}, Time: now}
	client := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, Time: now, ServerName: q.Host}
	if q.Usage == "client" {
		server.ClientAuth = tls.RequireAndVerifyClientCert
		server.ClientCAs = roots
		client.InsecureSkipVerify = true
		// The key that it serves with must work whatever is judged.
		own, err := fresh()
		if err != nil {
			return err
		}
		server.Certificates = []tls.Certificate{own}
	}
	left, right := net.Pipe()
	defer left.Close()
	defer right.Close()
	deadline := time.Now().Add(5 * time.Second)
	left.SetDeadline(deadline)
	right.SetDeadline(deadline)
	served := make(chan error, 1)
	go func() {
		connection := tls.Server(left, server)
		err := connection.Handshake()
		if err == nil {
			_, err = connection.Write([]byte("x"))
		}
		served <- err
	}()
	connection := tls.Client(right, client)
	err = connection.Handshake()
	if err == nil {
		_, err = io.ReadFull(connection, make([]byte, 1))
	}
	if q.Usage == "client" {
		right.Close()
		return <-served
	}
	return err
}

func fresh() (own tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return own, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// A request to a running etcd, with a certificate of the client and the name of the server judged.
func (q question) dial() error {
	roots, err := pool(q.Trusted)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(q.Chain, q.Key)
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: q.Host}
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", q.Address, config)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(connection, "GET /version HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(connection)
	if bytes.HasPrefix(answer, []byte("HTTP/1.")) {
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	return err
}
