/* Has lost 100 blocks of 500 bytes, and moves about others without pause, in several threads. */

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

constexpr int LOST = 100, SLOTS = 64;
constexpr size_t SIZE = 500;

std::atomic<void *> slots[SLOTS];

void lose() {
  for (int i = 0; i <= LOST; i++) slots[0] = calloc(1, SIZE);
  free(slots[0].exchange(nullptr)); /* its address may stand on the stack still */
}

void exchange() { /* blocks between slots, by way of a register */
  unsigned random = 1;
  while (true) {
    random = random * 1103515245 + 12345;
    void *block = slots[random >> 16 & (SLOTS - 1)].exchange(nullptr);
    if (!block) block = calloc(1, SIZE);
    for (int i = 0; block; i++) {
      void *expected = nullptr;
      if (slots[(random + i) & (SLOTS - 1)].compare_exchange_strong(expected, block)) break;
      if (i == SLOTS) free(block), block = nullptr;
    }
  }
}

void rebuild() { /* a vector, a deque and a list whose elements change places */
  std::vector<std::unique_ptr<char[]>> vector;
  std::deque<std::unique_ptr<char[]>> deque;
  std::list<std::unique_ptr<char[]>> one, other;
  for (int i = 0; i < 1000; i++) {
    vector.push_back(std::make_unique<char[]>(SIZE));
    deque.push_back(std::make_unique<char[]>(SIZE));
    one.push_back(std::make_unique<char[]>(SIZE));
  }
  while (true) {
    std::vector<std::unique_ptr<char[]>> moved;
    for (auto &each : vector) moved.push_back(std::move(each));
    vector = std::move(moved);
    for (int i = 0; i < 100; i++) {
      deque.push_back(std::move(deque.front()));
      deque.pop_front();
    }
    other.splice(other.begin(), one, one.begin(), --one.end());
    one.swap(other);
  }
}

void hand_over() { /* to one thread after another, all on the same stack */
  std::vector<std::unique_ptr<char[]>> vector;
  for (int i = 0; i < 100; i++) vector.push_back(std::make_unique<char[]>(SIZE));
  while (true) {
    std::thread([&vector] {
      auto own = std::move(vector);
      usleep(1000);
      vector = std::move(own);
    }).join();
  }
}

}  // namespace

int main() {
  std::thread(lose).join();
  std::vector<std::thread> threads;
  for (auto way : {exchange, rebuild, rebuild, hand_over}) threads.emplace_back(way);
  puts("ready");
  fflush(stdout);
  for (auto &each : threads) each.join();
}
