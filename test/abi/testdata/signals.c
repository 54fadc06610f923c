/* The threads of a module leave the program's signals to the program, and the
 * program's thread has the mask that it had. */
#include "common.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

/* Counts the threads but the first that would take a signal. */
static int takers(int sig, int *threads) {
  int n = 0;
  DIR *dir = opendir("/proc/self/task");
  for (struct dirent *e; dir && (e = readdir(dir));) {
    char path[300], line[300];
    unsigned long long blocked = 0;
    if (e->d_name[0] == '.' || atoi(e->d_name) == getpid()) continue;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
    FILE *f = fopen(path, "r");
    if (!f) continue; /* it has ended */
    ++*threads;
    while (fgets(line, sizeof line, f)) sscanf(line, "SigBlk: %llx", &blocked);
    fclose(f);
    if (!(blocked >> (sig - 1) & 1)) n++;
  }
  if (dir) closedir(dir);
  return n;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  sigset_t before, after;
  sigemptyset(&before);
  sigaddset(&before, SIGUSR2);
  CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
  void *module = load(argv[1], RTLD_LOCAL);
  CHECK(sigprocmask(SIG_SETMASK, NULL, &after) == 0);
  for (int sig = 1; sig <= 31; sig++)
    if (sigismember(&before, sig) != sigismember(&after, sig)) wrong("the mask of the program has another bit %d", sig);
  CK_FUNCTION_LIST_PTR f = functions(module);
  OK(f->C_Initialize(NULL));
  static const int signals[] = {SIGCHLD, SIGQUIT, SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGALRM, SIGWINCH, SIGIO};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    int threads = 0, n = takers(signals[i], &threads);
    if (n || !threads) wrong("%d of %d threads would take signal %d", n, threads, signals[i]);
  }
  OK(f->C_Finalize(NULL));
  return failures > 0;
}
