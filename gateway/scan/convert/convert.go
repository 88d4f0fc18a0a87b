package main

import (
	"fmt"
	"regexp"
	"strings"
)

type set struct {
	allow *allow
	rules []*rule
}

type rule struct {
	ID       string   `json:"id"`
	Regex    string   `json:"regex"`
	Keywords []string `json:"keywords"`
	Entropy  float64  `json:"entropy,omitempty"`
	Group    int      `json:"group,omitempty"`
	Whole    bool     `json:"whole,omitempty"`
	Low      bool     `json:"low,omitempty"`
	Reach    int      `json:"reach,omitempty"`
	Soon     int      `json:"soon,omitempty"`
	Run      int      `json:"run,omitempty"`
	Needs    []string `json:"needs,omitempty"`
	Allow    []*allow `json:"allow,omitempty"`
}

type allow struct {
	Target  string   `json:"target,omitempty"`
	Regexes []string `json:"regexes,omitempty"`
	Words   []string `json:"words,omitempty"`
	paths   bool
	and     bool
}

// whole are the rules whose first group is a small part of the secret.
var whole = map[string]bool{"jwt-base64": true, "microsoft-teams-webhook": true}

// low are the rules that ordinary code meets: they hold without the names of
// files, or say little of what they look for.
var low = map[string]bool{"generic-api-key": true, "hashicorp-tf-password": true, "sourcegraph-access-token": true}

// reach bounds rules that could otherwise match to the end of the text, blanks
// and all.
var reach = map[string]int{"curl-auth-header": 1024, "curl-auth-user": 1024, "generic-api-key": 4096, "kubernetes-secret-yaml": 2048, "private-key": 16 << 10}

// soon are the rules whose match either ends so soon, or runs on to the end of
// what is looked at: the longest name, operators and bounded value.
var soon = map[string]int{"generic-api-key": 256}

// run is how much of a key must stand in one piece: code that reads and writes keys
// has their first and last lines too.
var run = map[string]int{"private-key": 40}

// needs are what else must stand around a keyword that ordinary text is full of.
var needs = map[string][]string{"kubernetes-secret-yaml": {"secret", "data:"}}

// keywords replaces those that stand outside of what the rule matches, or in all
// code.
var keywords = map[string][]string{"airtable-personnal-access-token": {"pat"}, "cloudflare-origin-ca-key": {"v1.0-"}, "kubernetes-secret-yaml": {"kind:"}, "intra42-client-secret": {"s-s4t2ud-", "s-s4t2af-"}}

func convert(tables []table) (*set, error) {
	s := &set{}
	var r *rule
	for _, t := range tables {
		var err error
		switch t.name {
		case "":
		case "allowlist":
			s.allow, err = t.allow()
		case "rules":
			if r, err = t.rule(); err == nil && r.Regex != "" {
				s.rules = append(s.rules, r)
			}
		case "rules.allowlists":
			var a *allow
			a, err = t.allow()
			// What needs a path too never holds here; the other way round, what
			// allows a path alone says nothing.
			if err == nil && !(a.and && a.paths) && len(a.Regexes)+len(a.Words) > 0 {
				r.Allow = append(r.Allow, a)
			}
		default:
			err = fmt.Errorf("unknown table %s", t.name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", t.line, err)
		}
	}
	return s, nil
}

func (t *table) rule() (*rule, error) {
	r := &rule{}
	for k, v := range t.fields {
		switch v := v.(type) {
		case string:
			switch k {
			case "id":
				r.ID = v
			case "regex":
				r.Regex = v
			case "description", "path":
			default:
				return nil, fmt.Errorf("unknown text %s", k)
			}
		case float64:
			switch k {
			case "entropy":
				r.Entropy = v
			case "secretGroup":
				r.Group = int(v)
			default:
				return nil, fmt.Errorf("unknown number %s", k)
			}
		case []string:
			if k != "keywords" {
				return nil, fmt.Errorf("unknown list %s", k)
			}
			for _, w := range v {
				r.Keywords = append(r.Keywords, strings.ToLower(w))
			}
		}
	}
	if r.Regex == "" {
		return r, nil
	}
	if len(r.Keywords) == 0 {
		return nil, fmt.Errorf("rule %s has no keywords", r.ID)
	}
	if k := keywords[r.ID]; k != nil {
		r.Keywords = k
	}
	r.Whole, r.Low, r.Reach = whole[r.ID], low[r.ID], reach[r.ID]
	r.Needs, r.Soon, r.Run = needs[r.ID], soon[r.ID], run[r.ID]
	_, err := regexp.Compile(r.Regex)
	return r, err
}

func (t *table) allow() (*allow, error) {
	a := &allow{}
	for k, v := range t.fields {
		switch k {
		case "description":
		case "regexTarget":
			a.Target, _ = v.(string)
		case "condition":
			a.and = v == "AND"
		case "paths":
			a.paths = true
		case "regexes":
			a.Regexes, _ = v.([]string)
		case "stopwords":
			a.Words, _ = v.([]string)
		default:
			return nil, fmt.Errorf("unknown field %s", k)
		}
	}
	for _, r := range a.Regexes {
		if _, err := regexp.Compile(r); err != nil {
			return nil, err
		}
	}
	return a, nil
}
