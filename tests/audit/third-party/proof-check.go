// SPDX-License-Identifier: Apache-2.0

// Checks a proof of `creel audit prove` with the libraries of the transparency-dev project and Go's
// own signed notes: proof-check KEY-FILE PROOF-FILE. The record is the proof's extra data.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

func check(keyFile, proofFile string) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	var p proof.TLogProof
	if err := p.Unmarshal(data); err != nil {
		return err
	}
	checkpoint, _, _, err := log.ParseCheckpoint(p.Checkpoint, verifier.Name(), verifier)
	if err != nil {
		return err
	}
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	hasher := rfc6962.DefaultHasher
	leaf := hasher.HashLeaf(p.ExtraData)
	err = merkle.VerifyInclusion(hasher, p.Index, checkpoint.Size, leaf, hashes, checkpoint.Hash)
	if err == nil {
		fmt.Printf("ok: record %d of %d\n", p.Index, checkpoint.Size)
	}
	return err
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: proof-check KEY-FILE PROOF-FILE")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "proof-check:", err)
		os.Exit(1)
	}
}
