/* Loses and holds blocks, most of them of 1000 bytes, in the ways that are its arguments. Then it
   lets LeakSanitizer tell what that finds, if it was built with it, says "ready", and waits. */

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

extern "C" int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

namespace {

constexpr size_t SIZE = 1000;
constexpr int COUNT = 5;
constexpr size_t PAGE = 4096;

struct Cell {
  Cell *next, *previous;
  char rest[SIZE - 2 * sizeof(Cell *)];
};

Cell *make(Cell *next = nullptr) {
  auto *cell = static_cast<Cell *>(calloc(1, sizeof(Cell)));
  cell->next = next;
  return cell;
}

void *volatile variables[COUNT];

void *map_memory(int flags, int file = -1) {
  return mmap(nullptr, PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
}

/* Lost. */

void single() {
  for (int i = 0; i < COUNT; i++) variables[i] = make();
  for (auto &each : variables) each = nullptr;
}

void chain() {
  Cell *first = nullptr;
  for (int i = 0; i < COUNT; i++) first = make(first);
  variables[0] = first;
  variables[0] = nullptr;
}

void ring() {
  Cell *first = make(), *last = first;
  for (int i = 1; i < COUNT; i++) last = last->next = make();
  last->next = first;
  variables[0] = first;
  variables[0] = nullptr;
}

void both_ways() {
  Cell *last = nullptr;
  for (int i = 0; i < COUNT; i++) {
    Cell *cell = make(last);
    if (last) last->previous = cell;
    last = cell;
  }
  variables[0] = last;
  variables[0] = nullptr;
}

void shared_child() { /* two roots hold one block */
  Cell *child = make();
  variables[0] = make(child);
  variables[1] = make(child);
  variables[0] = variables[1] = nullptr;
}

void ring_below() { /* a root holds a ring */
  Cell *one = make(), *other = make(one);
  one->next = other;
  variables[0] = make(one);
  variables[0] = nullptr;
}

struct Counted {
  std::shared_ptr<Counted> other;
  char rest[SIZE];
};

void counted() {
  for (int i = 0; i < COUNT; i++) {
    auto one = std::make_shared<Counted>(), two = std::make_shared<Counted>();
    one->other = two;
    two->other = one;
  }
}

template <class T>
struct Widget {
  virtual ~Widget() = default;
  T rest[SIZE / sizeof(T)];
};

void objects() {
  for (auto &each : variables) each = new Widget<int>;
  for (auto &each : variables) each = nullptr;
}

void standard_map() {
  auto *numbers = new std::map<int, int>;
  for (int i = 0; i < 100; i++) (*numbers)[i] = i;
  variables[0] = numbers;
  variables[0] = nullptr;
}

void standard_list() {
  auto *numbers = new std::list<int>;
  for (int i = 0; i < 100; i++) numbers->push_back(i);
  variables[0] = numbers;
  variables[0] = nullptr;
}

void in_freed() { /* only a freed block refers to it */
  void *block = malloc(SIZE);
  static_cast<void *volatile *>(block)[4] = make();
  free(block);
}

thread_local void *volatile own[COUNT];

void *keep_and_end(void *) {
  void *volatile local = make();
  own[0] = make();
  return local ? nullptr : local;
}

void ended_thread() { /* its stack and its variables are no more */
  pthread_t thread;
  pthread_create(&thread, nullptr, keep_and_end, nullptr);
  pthread_join(thread, nullptr);
}

void *do_nothing(void *) { return nullptr; }

void argument() { /* of a thread that has ended */
  pthread_t thread;
  pthread_create(&thread, nullptr, do_nothing, make());
  pthread_join(thread, nullptr);
}

/* Held. */

void *volatile held[32];
int taken;

void hold(const void *block) { held[taken++] = const_cast<void *>(block); }

void variable() { hold(make(make())); }

void inner() { hold(make()->rest + SIZE / 2); }

void behind() { /* as the end of a vector that has no beginning any more */
  auto *block = static_cast<char *>(malloc(1016)); /* as long as its chunk allows */
  memset(block, 0, 1016);
  hold(block + 1016);
}

void tagged() {
  hold(reinterpret_cast<void *>(uintptr_t(make()) | uintptr_t(0xabcd) << 48));
}

void key_of_threads() {
  pthread_key_t key;
  for (int i = 0; i < 40; i++) pthread_key_create(&key, nullptr);
  pthread_setspecific(key, make());
}

void own_variable() { own[1] = make(); }

void *give(void *) { return make(); }

void not_joined() { /* nobody has asked yet what a thread has returned */
  static pthread_t thread;
  pthread_create(&thread, nullptr, give, nullptr);
  usleep(100000);
}

std::atomic<int> waiting{0};

void *hold_on_stack(void *) {
  void *volatile local = make();
  waiting++;
  while (true) pause();
  return local;
}

void stack() {
  int wanted = waiting + 1;
  pthread_t thread;
  pthread_create(&thread, nullptr, hold_on_stack, nullptr);
  while (waiting < wanted) usleep(1000);
}

void *hold_in_register(void *) {
  void *block = make();
  asm volatile(
      "mov %0, %%r12\n\txor %0, %0\n\t"
      "lock incl %1\n\t"
      "1: pause\n\tjmp 1b"
      : "+r"(block), "+m"(waiting)
      :
      : "r12", "rax", "memory");
  return block;
}

void registered() {
  int wanted = waiting + 1;
  pthread_t thread;
  pthread_create(&thread, nullptr, hold_in_register, nullptr);
  while (waiting < wanted) usleep(1000);
}

/* Held, and LeakSanitizer does not see it. */

void anonymous() {
  auto **memory = static_cast<void **>(map_memory(MAP_PRIVATE | MAP_ANONYMOUS));
  memory[1] = make();
  hold(memory);
}

void shared() {
  auto **memory = static_cast<void **>(map_memory(MAP_SHARED | MAP_ANONYMOUS));
  memory[1] = make();
  hold(memory);
}

void of_file() {
  char name[] = "shapes-XXXXXX"; /* in the working folder, in which it stays */
  int file = mkstemp(name);
  if (ftruncate(file, PAGE)) abort();
  auto **memory = static_cast<void **>(map_memory(MAP_SHARED, file));
  memory[1] = make();
  hold(memory);
}

void protect(int rights) {
  anonymous();
  mprotect(held[taken - 1], PAGE, rights);
}

void read_only() { protect(PROT_READ); }

void hidden() { protect(PROT_NONE); }

void given_stack() { /* that was a thread's, and is what it was before again */
  size_t size = 1 << 16;
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, memory, size);
  pthread_t thread;
  pthread_create(&thread, &attributes, do_nothing, nullptr);
  pthread_join(thread, nullptr);
  static_cast<void **>(memory)[1] = make();
  hold(memory);
}

/* Mappings. */

char *map_apart() { /* from what else may be mapped there */
  void *memory = mmap(nullptr, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *middle = static_cast<char *>(memory) + 4 * PAGE;
  mprotect(middle, 8 * PAGE, PROT_READ | PROT_WRITE);
  return middle;
}

void lost_mapping() {
  char *memory = map_apart();
  memory[PAGE] = 1;
}

void held_mapping() { hold(map_apart() + 2 * PAGE); }

void nothing() {}

const std::map<std::string, void (*)()> WAYS_TO_LOSE{
    {"single", single},
    {"chain", chain},
    {"ring", ring},
    {"both_ways", both_ways},
    {"shared_child", shared_child},
    {"ring_below", ring_below},
    {"counted", counted},
    {"objects", objects},
    {"standard_map", standard_map},
    {"standard_list", standard_list},
    {"in_freed", in_freed},
    {"ended_thread", ended_thread},
    {"argument", argument},
    {"lost_mapping", lost_mapping},
};

const std::map<std::string, void (*)()> WAYS_TO_HOLD{
    {"variable", variable},
    {"inner", inner},
    {"behind", behind},
    {"tagged", tagged},
    {"key_of_threads", key_of_threads},
    {"own_variable", own_variable},
    {"not_joined", not_joined},
    {"stack", stack},
    {"registered", registered},
    {"anonymous", anonymous},
    {"shared", shared},
    {"of_file", of_file},
    {"read_only", read_only},
    {"hidden", hidden},
    {"given_stack", given_stack},
    {"held_mapping", held_mapping},
    {"nothing", nothing},
};

void *lose(void *way) {
  WAYS_TO_LOSE.at(static_cast<const char *>(way))();
  return nullptr;
}

void run(char *way) {
  if (WAYS_TO_HOLD.count(way)) {
    WAYS_TO_HOLD.at(way)();
    return;
  }
  /* What functions have left on the stack and in registers ends with the thread. */
  pthread_t thread;
  pthread_create(&thread, nullptr, lose, way);
  pthread_join(thread, nullptr);
}

}  // namespace

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) run(arguments[i]);
  if (__lsan_do_recoverable_leak_check) __lsan_do_recoverable_leak_check();
  puts("ready");
  fflush(stdout);
  while (true) pause();
}
