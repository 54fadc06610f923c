/* Loads, uses and unloads a module again and again. */
#include "common.h"

#include <dirent.h>

static int entries(const char *path) {
  DIR *dir = opendir(path);
  int n = 0;
  while (dir && readdir(dir)) n++;
  if (dir) closedir(dir);
  return n;
}

static void use(const char *path) {
  void *module = load(path, RTLD_LOCAL);
  CK_FUNCTION_LIST_PTR f = functions(module);
  CK_INFO info;
  EXPECT(f->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
  OK(f->C_Initialize(NULL));
  OK(f->C_GetInfo(&info));
  OK(f->C_Finalize(NULL));
  EXPECT(f->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
  CHECK(dlclose(module) == 0);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  for (int i = 0; i < 10; i++) use(argv[1]);
  int fds = entries("/proc/self/fd"), threads = entries("/proc/self/task");
  for (int i = 0; i < 200; i++) use(argv[1]);
  if (entries("/proc/self/fd") > fds)
    wrong("%d open files became %d", fds, entries("/proc/self/fd"));
  /* The runtime starts threads as it sees fit, some for each of the processors
   * that it thinks it has, but not one for every life of the library. */
  if (entries("/proc/self/task") > threads + 100)
    wrong("%d threads became %d", threads, entries("/proc/self/task"));
  return failures > 0;
}
