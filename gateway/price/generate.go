//go:build ignore

// Generate writes prices.tsv from the provider files of charm.land/catwalk, whose
// module directory is its argument:
//
//	go run generate.go "$(go mod download -json charm.land/catwalk@v0.52.1 | jq -r .Dir)" > prices.tsv
//
// The two cached prices of those files are told apart by what they can be: the
// price of a read is at most half of that of input, the price of a write no less
// than it. What fits neither is unknown, and so is a model without prices.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

type provider struct {
	ID       string  `json:"id"`
	Endpoint string  `json:"api_endpoint"`
	Models   []model `json:"models"`
}

type model struct {
	ID    string  `json:"id"`
	In    float64 `json:"cost_per_1m_in"`
	Out   float64 `json:"cost_per_1m_out"`
	Write float64 `json:"cost_per_1m_in_cached"`
	Read  float64 `json:"cost_per_1m_out_cached"`
}

// endpoints are those that the files leave to a variable.
var endpoints = map[string]string{
	"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com", "gemini": "https://generativelanguage.googleapis.com",
}

func main() {
	log.SetFlags(0)
	files, err := filepath.Glob(filepath.Join(os.Args[1], "internal/providers/configs/*.json"))
	if err != nil || len(files) == 0 {
		log.Fatal("no provider files: ", err)
	}
	sort.Strings(files)
	_, version, _ := strings.Cut(filepath.Base(os.Args[1]), "@v")
	fmt.Printf("# Prices in US dollars per million tokens, from charm.land/catwalk %s (MIT License,\n", version)
	fmt.Print("# Copyright (c) 2025 Charmbracelet, Inc). Made by generate.go; overlay.tsv adds and corrects.\n")
	fmt.Printf("version\tcatwalk-%s\n", version)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			log.Fatal(err)
		}
		var p provider
		if err := json.Unmarshal(b, &p); err != nil {
			log.Fatal(f, ": ", err)
		}
		write(p)
	}
}

func write(p provider) {
	if e := endpoints[p.ID]; e != "" {
		p.Endpoint = e
	}
	if u, err := url.Parse(p.Endpoint); err == nil && u.Host != "" {
		fmt.Printf("host\t%s\t%s\n", u.Host+strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1"), p.ID)
	}
	for _, m := range p.Models {
		if m.In <= 0 {
			continue
		}
		read, put := 0.0, 0.0
		switch {
		case m.Read > 0 && m.Read <= m.In/2:
			read = m.Read
		case m.Write > 0 && m.Write <= m.In/2:
			read = m.Write
		}
		if m.Write >= m.In {
			put = m.Write
		}
		fmt.Printf("price\t%s/%s\t0\t%s\t%s\t%s\t%s\t-\n", p.ID, strings.ToLower(m.ID), dollars(m.In), dollars(m.Out), dollars(read), dollars(put))
	}
}

func dollars(f float64) string {
	if f <= 0 {
		return "-"
	}
	return strconv.FormatFloat(math.Round(f*1e6)/1e6, 'f', -1, 64)
}
