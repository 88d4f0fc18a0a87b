package backupname

import "testing"

func TestOf(t *testing.T) {
	tests := []struct{ name, want string }{
		{"server.pem~", "server.pem"},
		{"server.pem.~12~", "server.pem"},
		{"#credentials.json#", "credentials.json"},
		{".#credentials.json", "credentials.json"},
		{".secrets.pem.swp", "secrets.pem"},
		{".npmrc~", ".npmrc"},
		{".netrc.bak", ".netrc"},
		{"id_rsa.bak.old", "id_rsa"},
		{"~", "~"},
		{"main.go", "main.go"},
	}
	for _, tt := range tests {
		if got, ok := Of(tt.name); got != tt.want || ok != (tt.want != tt.name) {
			t.Errorf("Of(%q) = %q, %v; want %q", tt.name, got, ok, tt.want)
		}
	}
}
