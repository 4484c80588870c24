#include "napi/measure_function.h"

#include <cerrno>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "measure/measurement.h"
#include "napi/environment.h"
#include "napi/errors.h"

namespace podfs {

namespace {

using measure::Histogram;
using measure::Measurement;
using measure::Result;
using measure::Spec;

// Ends with the environment, if it has not ended before.
class RunningMeasurement final : public Resource {
 public:
  explicit RunningMeasurement(Spec spec) : measurement_(std::move(spec)) {}

  void Run() {
    result_ = measurement_.Run();
    done_.set_value();
  }
  // The pool takes no work any more.
  void Drop() {
    result_.error = -ECANCELED;
    result_.what = "the process is ending";
    done_.set_value();
  }
  void Abandon() override {
    measurement_.Cancel();
    done_.get_future().wait();
  }
  Measurement* measurement() { return &measurement_; }
  const Result& result() const { return result_; }

 private:
  Measurement measurement_;
  Result result_;
  std::promise<void> done_;
};

uint64_t ToCount(const Napi::Object& object, const char* key) {
  return static_cast<uint64_t>(object.Get(key).As<Napi::Number>().Int64Value());
}

Napi::Number FromCount(Napi::Env env, uint64_t count) { return Napi::Number::New(env, static_cast<double>(count)); }

Spec ToSpec(const Napi::Object& object) {
  Spec spec;
  spec.loop = measure::FindLoop(object.Get("loop").As<Napi::String>().Utf8Value());
  spec.path = object.Get("path").As<Napi::String>();
  spec.threads = static_cast<uint32_t>(ToCount(object, "threads"));
  spec.share = static_cast<uint32_t>(ToCount(object, "share"));
  spec.shares = static_cast<uint32_t>(ToCount(object, "shares"));
  spec.block_size = ToCount(object, "blockSize");
  spec.block_size_min = ToCount(object, "blockSizeMin");
  spec.file_size = ToCount(object, "fileSize");
  spec.files = ToCount(object, "files");
  spec.files_per_directory = ToCount(object, "filesPerDirectory");
  spec.prefix = object.Get("prefix").As<Napi::String>();
  spec.shuffle = object.Get("shuffle").As<Napi::Boolean>();
  spec.operations_max = ToCount(object, "operationsMax");
  spec.repeat = object.Get("repeat").As<Napi::Boolean>();
  spec.micros_max = ToCount(object, "microsMax");
  spec.seed = ToCount(object, "seed");
  return spec;
}

Napi::Object FromHistogram(Napi::Env env, const Histogram& latencies) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array buckets = Napi::Array::New(env);
  for (size_t i = 0; i < Histogram::kBuckets; ++i) {
    if (latencies.bucket(i) == 0) continue;
    Napi::Array bucket = Napi::Array::New(env, 2);
    bucket[0u] = FromCount(env, Histogram::UpperBound(i));
    bucket[1u] = FromCount(env, latencies.bucket(i));
    buckets[buckets.Length()] = bucket;
  }
  object.Set("count", FromCount(env, latencies.count()));
  object.Set("minNs", FromCount(env, latencies.min()));
  object.Set("maxNs", FromCount(env, latencies.max()));
  const double mean = latencies.count() == 0 ? 0 : static_cast<double>(latencies.sum()) / latencies.count();
  object.Set("meanNs", Napi::Number::New(env, mean));
  object.Set("buckets", buckets);
  return object;
}

Napi::Object FromResult(Napi::Env env, const Result& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("operations", FromCount(env, result.operations));
  object.Set("operationsMin", FromCount(env, result.operations_min));
  object.Set("amount", FromCount(env, result.amount));
  object.Set("seconds", Napi::Number::New(env, result.seconds));
  object.Set("syncSeconds", Napi::Number::New(env, result.sync_seconds));
  object.Set("latencies", FromHistogram(env, result.latencies));
  return object;
}

Napi::Value RunOnPool(Environment* environment, const std::shared_ptr<RunningMeasurement>& running) {
  environment->Register(running);
  return environment->Run(
      {},
      [environment, running](Napi::Env env, const Napi::Promise::Deferred& deferred, const Environment::Result&) {
        environment->Unregister(running);
        const Result& result = running->result();
        if (result.error != 0) {
          deferred.Reject(SystemError(env, result.error, result.what).Value());
        } else {
          deferred.Resolve(FromResult(env, result));
        }
      },
      [&](const Environment::Finish& finish) {
        const bool posted = environment->pool()->Post([running, finish] {
          running->Run();
          finish({});
        });
        if (posted) return;
        running->Drop();
        finish({});
      });
}

Napi::Value Measure(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto running = std::make_shared<RunningMeasurement>(ToSpec(info[0].As<Napi::Object>()));
  Napi::Object object = Napi::Object::New(env);
  object.Set("done", RunOnPool(Environment::Of(env), running));
  object.Set("operations", Napi::Function::New(env, [running](const Napi::CallbackInfo& call) -> Napi::Value {
               return FromCount(call.Env(), running->measurement()->Operations());
             }));
  object.Set("cancel", Napi::Function::New(
                           env, [running](const Napi::CallbackInfo&) -> void { running->measurement()->Cancel(); }));
  return object;
}

}  // namespace

void DefineMeasure(Napi::Env env, Napi::Object exports) {
  exports.Set("measure", Napi::Function::New<Measure>(env, "measure"));
}

}  // namespace podfs
