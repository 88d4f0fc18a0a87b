package gitview

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// userConfig is what a session takes from the user's own git configuration.
type userConfig struct {
	name, email, excludes, defaultBranch string
}

// userSettings reads the user's own configuration, once. It is the user's, not
// the repository's, and is only read.
func (p *Project) userSettings(ctx context.Context) userConfig {
	p.userOnce.Do(func() {
		home, _ := os.UserHomeDir()
		conf, _ := os.UserConfigDir()
		cmd := exec.CommandContext(ctx, "git", "config", "--global", "--includes", "-z", "--get-regexp", `^(user\.(name|email)|core\.excludesfile|init\.defaultbranch)$`)
		cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "XDG_CONFIG_HOME=" + conf, "GIT_CONFIG_NOSYSTEM=1"}
		cmd.Dir = "/"
		out, _ := cmd.Output() // exit 1: nothing is set
		p.user.excludes = filepath.Join(conf, "git", "ignore")
		for _, kv := range strings.Split(string(out), "\x00") {
			key, value, _ := strings.Cut(kv, "\n")
			switch key {
			case "user.name":
				p.user.name = value
			case "user.email":
				p.user.email = value
			case "init.defaultbranch":
				p.user.defaultBranch = value
			case "core.excludesfile":
				if rest, ok := strings.CutPrefix(value, "~/"); ok {
					value = filepath.Join(home, rest)
				}
				p.user.excludes = value
			}
		}
	})
	return p.user
}
