// Best-fit decreasing bin packing of examples into samples of one capacity (Ding et al., Fewer Truncations Improve
// Language Modeling, arXiv 2404.10830), deterministic: longer items first, ties in order of appearance, and of the
// fullest bins that fit the one opened first.
#include <algorithm>
#include <numeric>
#include <vector>

#include "api.h"

namespace {

// Maxima over the ranges of capacities: which rooms are there at all.
class Rooms {
 public:
  explicit Rooms(int64_t capacity) : size_(1) {
    while (size_ <= capacity) size_ *= 2;
    any_.assign(2 * size_, 0);
    bins_.resize(capacity + 1);
  }

  void put(int64_t room, int32_t bin) {
    auto& heap = bins_[room];
    heap.push_back(bin);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (heap.size() == 1) set(room, 1);
  }

  // The bin with the least room of at least `wanted`, taken out, or -1.
  int32_t take(int64_t wanted) {
    const int64_t room = first_from(wanted);
    if (room < 0) return -1;
    auto& heap = bins_[room];
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const int32_t bin = heap.back();
    heap.pop_back();
    if (heap.empty()) set(room, 0);
    return bin;
  }

 private:
  void set(int64_t place, uint8_t value) {
    place += size_;
    any_[place] = value;
    for (place /= 2; place >= 1; place /= 2) any_[place] = any_[2 * place] | any_[2 * place + 1];
  }

  int64_t first_from(int64_t wanted) const {
    int64_t node = wanted + size_;
    if (node >= 2 * size_) return -1;
    if (any_[node]) return wanted;
    while (node > 1) {  // up to a right neighbour that has something, then down to its first
      if (node % 2 == 0 && any_[node + 1]) {
        node += 1;
        while (node < size_) node = any_[2 * node] ? 2 * node : 2 * node + 1;
        return node - size_;
      }
      node /= 2;
    }
    return -1;
  }

  int64_t size_;
  std::vector<uint8_t> any_;
  std::vector<std::vector<int32_t>> bins_;
};

}  // namespace

// lengths[n], each in [1, capacity] -> bin[n]; returns the number of bins, -1 for a length out of range.
AIXMEG_API int64_t aixmeg_best_fit(const int64_t* lengths, int64_t n, int64_t capacity, int32_t* bin) {
  for (int64_t i = 0; i < n; ++i)
    if (lengths[i] < 1 || lengths[i] > capacity) return -1;
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return lengths[a] > lengths[b]; });
  Rooms rooms(capacity);
  std::vector<int64_t> left;
  for (const int32_t item : order) {
    int32_t chosen = rooms.take(lengths[item]);
    if (chosen < 0) {
      chosen = static_cast<int32_t>(left.size());
      left.push_back(capacity);
    }
    left[chosen] -= lengths[item];
    bin[item] = chosen;
    if (left[chosen] > 0) rooms.put(left[chosen], chosen);
  }
  return static_cast<int64_t>(left.size());
}
