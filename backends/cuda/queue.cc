#include "cuda/queue.h"

namespace dcl::cuda {
namespace {

class EventFence final : public Fence {
 public:
  explicit EventFence(Stream stream) : stream_(stream), event_(create_event()) {}
  ~EventFence() override { destroy_event(event_); }
  void record() override { record_event(event_, stream_); }
  void wait() override { wait_for(event_); }

 private:
  Stream stream_;
  Event event_;
};

class CapturedGraph final : public StepGraph {
 public:
  CapturedGraph(Stream stream, RecordedGraph* graph) : stream_(stream), graph_(graph) {}
  ~CapturedGraph() override { destroy_graph(graph_); }
  void replay() override { launch_graph(graph_, stream_); }

 private:
  Stream stream_;
  RecordedGraph* graph_;
};

}  // namespace

std::unique_ptr<Fence> make_fence(Context& context) { return std::make_unique<EventFence>(context.stream()); }

std::unique_ptr<StepGraph> capture(Context& context, const std::function<void()>& step) {
  begin_capture(context.stream());
  try {
    step();
  } catch (...) {
    abandon_capture(context.stream());
    throw;
  }
  return std::make_unique<CapturedGraph>(context.stream(), end_capture(context.stream()));
}

}  // namespace dcl::cuda
