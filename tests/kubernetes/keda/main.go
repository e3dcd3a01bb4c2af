// Asks KEDA's own Kafka scaler, with the first trigger of a ScaledObject, what it would do.
//
//	keda-asks SCALEDOBJECT NAME=VALUE ...
//
// Each NAME=VALUE replaces one of the trigger's metadata. Prints a line of JSON: the metric, whether
// the scaler is active (if not, KEDA scales to zero), and the replicas that an autoscaler would make
// of it. ./dev pods builds it next to a copy of KEDA that has only this scaler; the scaler itself is as
// it was published.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	v2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"
)

// answer is what is printed.
type answer struct {
	Metric   int64 `json:"metric"`
	IsActive bool  `json:"is_active"`
	Replicas int64 `json:"replicas"`
}

// readTrigger returns the metadata of the first trigger, with the changes.
func readTrigger(path string, changes []string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var scaled struct {
		Spec struct {
			Triggers []struct {
				Type     string
				Metadata map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &scaled); err != nil {
		return nil, err
	}
	if len(scaled.Spec.Triggers) == 0 || scaled.Spec.Triggers[0].Type != "kafka" {
		return nil, fmt.Errorf("%s: the first trigger is not kafka", path)
	}
	metadata := scaled.Spec.Triggers[0].Metadata
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		if _, isThere := metadata[name]; !isThere {
			return nil, fmt.Errorf("the trigger has no %s", name)
		}
		metadata[name] = value
	}
	return metadata, nil
}

func ask(metadata map[string]string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	scaler, err := scalers.NewKafkaScaler(ctx, &scalersconfig.ScalerConfig{
		ScalableObjectName:      "rollcall",
		ScalableObjectNamespace: "rollcall",
		TriggerMetadata:         metadata,
		MetricType:              v2.AverageValueMetricType,
		GlobalHTTPTimeout:       10 * time.Second,
	})
	if err != nil {
		return answer{}, err
	}
	defer scaler.Close(ctx)
	metrics, isActive, err := scaler.GetMetricsAndActivity(ctx, "lag")
	if err != nil {
		return answer{}, err
	}
	metric := metrics[0].Value.Value()
	target := scaler.GetMetricSpecForScaling(ctx)[0].External.Target.AverageValue.Value()
	return answer{metric, isActive, (metric + target - 1) / target}, nil
}

func main() {
	log.SetFlags(0)
	metadata, err := readTrigger(os.Args[1], os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	found, err := ask(metadata)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		log.Fatal(err)
	}
}
