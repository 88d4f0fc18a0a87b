// Attacks from inside, one mode each; built by the tests with gcc.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile int stop;
static char *shared;

static void mark(void) {
	int fd = open(getenv("MARKS"), O_WRONLY | O_APPEND | O_CREAT, 0666);
	if (fd >= 0 && write(fd, "e", 1) == 1) close(fd);
}

static void copy(const char *from, const char *to, int flags) {
	char buf[65536];
	int n, in = open(from, O_RDONLY), out = open(to, O_WRONLY | flags, 0755);
	while (out >= 0 && (n = read(in, buf, sizeof buf)) > 0)
		if (write(out, buf, n) != n) break; // busy: the kernel runs it
	close(in);
	close(out);
	chmod(to, 0755);
}

static void *flip_words(void *p) {
	for (; !stop; ) { memcpy(p, "evil", 4); sched_yield(); memcpy(p, "good", 4); }
	return 0;
}

static void *flip_files(void *how) {
	for (int i = 0; !stop; i++) {
		const char *from = i & 1 ? "evil" : "good";
		if (!strcmp(how, "rename")) { unlink("tmp"); if (link(from, "tmp") == 0) rename("tmp", "target"); }
		if (!strcmp(how, "symlink")) { unlink("tmp"); if (symlink(from, "tmp") == 0) rename("tmp", "target"); }
		if (!strcmp(how, "inplace")) { copy(from, "target", 0); usleep(300); }
		if (!strcmp(how, "dir")) { rename("d", "d.good"); rename("d.evil", "d"); rename("d", "d.evil"); rename("d.good", "d"); }
	}
	return 0;
}

static volatile int flipping; // the exec waits for it: an attack that has not begun proves nothing

static void *flip_cwd(void *p) {
	for (;; flipping = 1) { if (chdir(shared + 512)) {} ; if (chdir(shared + 1024)) {} }
	return p;
}

static void *flip_stdin(void *p) {
	int null = open("/dev/null", O_RDONLY), fds[2];
	if (pipe(fds)) return p;
	for (;; flipping = 1) { dup2(fds[0], 0); dup2(null, 0); }
}

static void *exec_thread(void *argv) { execv(((char **)argv)[0], argv); perror("exec"); exit(1); }
static void *spin(void *p) { for (;;) sched_yield(); return p; }

static void reap(pid_t pid) { int st; while (waitpid(pid, &st, 0) < 0 && errno == EINTR) {} }

static int race(const char *mode, int n, char *prog) {
	pthread_t t;
	char *interp = getenv("INTERP");
	if (!strcmp(mode, "argv") || !strcmp(mode, "env") || !strcmp(mode, "path")) {
		char *word = shared + 64;
		if (!strcmp(mode, "path")) { strcpy(shared + 64, "good"); }
		else if (!strcmp(mode, "env")) { strcpy(shared + 59, "WORD=good"); }
		else strcpy(word, "good");
		pthread_create(&t, 0, flip_words, word);
	} else if (strcmp(mode, "cwd") && strcmp(mode, "stdin")) {
		pthread_create(&t, 0, flip_files, (void *)mode);
	}
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			char *av[] = {prog, "check-argv", shared + 64, 0}, *ev[] = {shared + 59, getenv("MARKSLINE"), 0};
			char *target[] = {"target", "check-none", 0}, *dir[] = {"d/target", "check-none", 0};
			if (interp) { // a script, by its interpreter or by its first line
				char *file = !strcmp(mode, "dir") ? "d/target" : "target";
				char *a[] = {interp, file, 0}, *b[] = {file, 0};
				if (*interp) execve(interp, a, environ);
				else execve(!strcmp(mode, "dir") ? "d/target" : "./target", b, environ);
				_exit(1);
			}
			if (!strcmp(mode, "argv")) execve(prog, av, environ);
			if (!strcmp(mode, "env")) { char *a[] = {prog, "check-env", 0}; execve(prog, a, ev); }
			if (!strcmp(mode, "path")) execve(shared + 64, target, environ);
			if (!strcmp(mode, "dir")) execve("d/target", dir, environ);
			if (!strcmp(mode, "cwd")) {
				char *a[] = {prog, "check-cwd", 0};
				pthread_create(&t, 0, flip_cwd, 0);
				while (!flipping) sched_yield();
				execve(prog, a, environ);
			}
			if (!strcmp(mode, "stdin")) {
				char *a[] = {prog, "check-stdin", 0};
				pthread_create(&t, 0, flip_stdin, 0);
				while (!flipping) sched_yield();
				execve(prog, a, environ);
			}
			execve("target", target, environ);
			_exit(1);
		}
		reap(pid);
	}
	stop = 1;
	return 0;
}

static int int80(void) {
	long r = -1;
#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); // getpid of i386
#endif
	printf("%ld\n", r);
	return r < 0 ? (int)-r : 0;
}

static int listener(void) {
	struct { unsigned short code; unsigned char jt, jf; unsigned k; } f[] = {{6, 0, 0, 0x7fff0000}};
	struct { unsigned short len; void *p; } prog = {1, f};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog)) return 2; // its own plain filter is fine
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog) < 0 ? errno : 0;
}

int main(int argc, char **argv) {
	char cwd[4096];
	const char *m = argc > 1 ? argv[1] : "";
#ifdef EVIL
	mark();
	return 0;
#endif
	shared = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (getenv("DIR")) { sprintf(shared + 512, "%s/evildir", getenv("DIR")); sprintf(shared + 1024, "%s/gooddir", getenv("DIR")); }
	if (!strcmp(m, "check-argv")) { if (!strcmp(argv[2], "evil")) mark(); return 0; }
	if (!strcmp(m, "check-env")) { if (!strcmp(getenv("WORD"), "evil")) mark(); return 0; }
	if (!strcmp(m, "check-cwd")) { if (getcwd(cwd, sizeof cwd) && strstr(cwd, "evildir")) mark(); return 0; }
	if (!strcmp(m, "check-stdin")) { struct stat st; if (fstat(0, &st) == 0 && S_ISFIFO(st.st_mode)) mark(); return 0; }
	if (!strcmp(m, "check-none")) return 0;
	if (!strcmp(m, "race")) return race(argv[2], atoi(argv[3]), argv[0]);
	if (!strcmp(m, "int80")) return int80();
	if (!strcmp(m, "listener")) return listener();
	if (!strcmp(m, "fdexec")) { // execveat of a descriptor
		int fd = open(argv[2], O_RDONLY);
		return syscall(SYS_execveat, fd, "", argv + 2, environ, AT_EMPTY_PATH), errno;
	}
	if (!strcmp(m, "memfd")) { // an executable that has no name
		int fd = memfd_create("hidden", 0);
		char path[64];
		sprintf(path, "/proc/self/fd/%d", fd);
		copy(argv[2], path, 0);
		return syscall(SYS_execveat, fd, "", argv + 2, environ, AT_EMPTY_PATH), errno;
	}
	if (!strcmp(m, "threadexec")) { // exec from a thread while others run
		pthread_t t;
		for (int i = 0; i < 3; i++) pthread_create(&t, 0, spin, 0);
		pthread_create(&t, 0, exec_thread, argv + 2);
		for (;;) pause();
	}
	if (!strcmp(m, "twoexec")) { // two threads exec at once
		pthread_t t;
		pthread_create(&t, 0, exec_thread, argv + 2);
		exec_thread(argv + 2);
	}
	if (!strcmp(m, "vforkstorm")) {
		for (int i = 0; i < atoi(argv[2]); i++) {
			pid_t pid = vfork();
			if (pid == 0) { execv(argv[3], argv + 3); _exit(1); }
			int st;
			if (waitpid(pid, &st, 0) != pid || st) return 1;
		}
		return 0;
	}
	if (!strcmp(m, "orphan")) { // its parent ends, then it executes
		pid_t parent = getpid();
		if (fork() == 0) {
			while (getppid() == parent) usleep(1000);
			execv(argv[2], argv + 2);
			_exit(1);
		}
		return 0;
	}
	if (!strcmp(m, "adopt")) { // adopts the orphan of a program that nobody saw
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		if (system("echo '(/bin/sleep 0.3; /usr/bin/true; :) & exit' | sh")) return 1;
		while (wait(0) > 0 || errno == EINTR) {}
		return 0;
	}
	if (!strcmp(m, "heir")) { // forks, and only then becomes what is approved: argv[2] says by how many
		int n = atoi(argv[2]), fds[2];
		if (!strcmp(argv[2], "reaper")) { prctl(PR_SET_CHILD_SUBREAPER, 1); n = 2; }
		if (pipe2(fds, O_CLOEXEC)) return 2;
		pid_t root = getpid();
		if (fork() == 0) {
			char c;
			close(fds[1]);
			read(fds[0], &c, 1); // ends with the exec
			if (n > 1) {
				pid_t parent = getpid();
				if (fork()) _exit(0);
				while (getppid() == parent) usleep(1000);
			}
			pid_t kid = fork();
			if (kid == 0) { execv(argv[3], argv + 3); _exit(1); }
			waitpid(kid, 0, 0);
			_exit(0);
		}
		execl("/usr/bin/sleep", "sleep", "1", NULL);
		return 3 + (root == 0);
	}
	if (!strcmp(m, "sibling")) { // a child whose parent did not start it
		long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) { execv(argv[2], argv + 2); _exit(1); }
		return pid < 0 ? errno : 0;
	}
	if (!strcmp(m, "badargs")) { // pointers to nowhere, and arguments across pages
		char *big = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(big + 2 * 4096, 4096);
		if (execve("/bin/true", (char **)8, environ) == 0 || errno != EFAULT) return 1;
		if (execve((char *)8, argv, environ) == 0 || errno != EFAULT) return 2;
		strcpy(big + 2 * 4096 - 5, "true"); // ends where its mapping ends
		memset(big, 'x', 5000);
		big[5000] = 0;
		char **av = (char **)(big + 2 * 4096 - 64);
		av[0] = big + 2 * 4096 - 5; av[1] = big; av[2] = 0;
		execve("/bin/true", av, environ);
		return 3;
	}
	fprintf(stderr, "no mode %s\n", m);
	return 99;
}
