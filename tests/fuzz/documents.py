# ruff: noqa: E501  (odd values and documents, one a line)
"""Valid inputs of every kind, small: what the fuzzer starts from."""

from __future__ import annotations

MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, uid: u-web, creationTimestamp: '2026-01-05T08:00:00Z'}
spec:
  replicas: 3
  template:
    metadata:
      labels: {app: web}
      annotations: {node.elotl.co/instance-max-cost: '4.75', raypipe.io/instance-type-regexp: '^m5'}
    spec:
      priorityClassName: high
      nodeSelector: {kubernetes.io/arch: amd64}
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
            - matchExpressions: [{key: karpenter.k8s.aws/instance-cpu, operator: Gt, values: ['2']}]
      tolerations: [{key: dedicated, operator: Equal, value: batch, effect: NoSchedule}]
      initContainers: [{name: init, image: i, resources: {requests: {cpu: 100m}}, restartPolicy: Always}]
      containers:
      - {name: a, image: i, resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 1Gi}}, ports: [{hostPort: 80}]}
      overhead: {cpu: 10m}
---
apiVersion: v1
kind: Pod
metadata:
  name: gpu
  annotations: {node.elotl.co/instance-gpu-skus: 'T4,L4', node.elotl.co/instance-max-gpus: '4'}
spec: {containers: [{name: a, resources: {limits: {nvidia.com/gpu: 1}}}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: bound
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u-web, controller: true}]
spec: {nodeName: node-1, containers: [{name: a, resources: {requests: {cpu: 100m}}}]}
status: {phase: Running}
---
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec: {parallelism: 2, completions: 5, template: {spec: {containers: [{name: a, resources: {requests: {cpu: 1}}}]}}}
status: {succeeded: 1}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec: {template: {spec: {containers: [{name: a, resources: {requests: {cpu: 50m, memory: 64Mi}}}]}}}
---
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: lws}
spec:
  replicas: 2
  leaderWorkerTemplate:
    size: 2
    workerTemplate: {spec: {containers: [{name: a, resources: {requests: {cpu: 1}}}]}}
---
apiVersion: ray.io/v1
kind: RayJob
metadata: {name: job, annotations: {raypipe.io/admit: 'true'}}
spec:
  suspend: true
  shutdownAfterJobFinishes: true
  submissionMode: K8sJobMode
  rayClusterSpec:
    enableInTreeAutoscaling: true
    headGroupSpec: {template: {spec: {containers: [{name: h, resources: {requests: {cpu: 1, memory: 2Gi}}}]}}}
    workerGroupSpecs:
    - groupName: small
      replicas: 2
      minReplicas: 1
      maxReplicas: 4
      numOfHosts: 1
      template: {spec: {containers: [{name: w, resources: {requests: {cpu: 2, memory: 4Gi}}}]}}
---
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: two
  uid: u-two
  resourceVersion: '7'
  annotations: {raypipe.io/requested-replicas: '{"wish": {"a": 2, "b": 0}, "written": {"a": 1, "b": 1}, "maxReplicas": {"wish": {"a": 5}, "written": {"a": 1}}}'}
spec:
  rayVersion: 2.60.0
  enableInTreeAutoscaling: true
  autoscalerOptions: {version: v2, idleTimeoutSeconds: 90}
  headGroupSpec: {template: {spec: {containers: [{name: h, env: [{name: RAY_enable_autoscaler_v2, value: '1'}], resources: {requests: {cpu: 1}}}]}}}
  workerGroupSpecs:
  - groupName: a
    replicas: 1
    maxReplicas: 1
    idleTimeoutSeconds: 60
    priority: 2
    scaleStrategy: {workersToDelete: [two-a-1, two-a-2]}
    template: {metadata: {annotations: {raypipe.io/alternatives: s}}, spec: {containers: [{name: w, resources: {requests: {cpu: 2}}}]}}
  - groupName: b
    replicas: 1
    template: {metadata: {annotations: {raypipe.io/alternatives: s, raypipe.io/speed: '0.5'}}, spec: {containers: [{name: w, resources: {requests: {cpu: 1}}}]}}
---
apiVersion: v1
kind: Pod
metadata:
  name: two-a-1
  uid: u-a
  labels: {ray.io/node-type: worker, ray.io/group: a, ray.io/worker-group-replica-name: r-1}
  ownerReferences: [{apiVersion: ray.io/v1, kind: RayCluster, name: two, uid: u-two, controller: true}]
spec: {containers: [{name: w, resources: {requests: {cpu: 2}}}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rayclusters.ray.io}
spec:
  group: ray.io
  names: {kind: RayCluster}
  versions:
  - name: v1
    served: true
    schema: {openAPIV3Schema: {properties: {spec: {properties: {workerGroupSpecs: {items: {properties: {priority: {type: integer}}}}}}}}}
---
apiVersion: v1
kind: Node
metadata:
  name: node-1
  labels: {node.kubernetes.io/instance-type: m5.xlarge, topology.kubernetes.io/zone: us-east-1a}
spec: {taints: [{key: a, effect: PreferNoSchedule}]}
status:
  capacity: {cpu: '4', memory: 16Gi, pods: '58'}
  allocatable: {cpu: 3900m, memory: 14Gi, pods: '58'}
  conditions: [{type: Ready, status: 'True'}]
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: pool, annotations: {raypipe.io/managed: 'true', raypipe.io/limits: '{"cpu": "100"}'}}
spec:
  weight: 10
  template:
    metadata: {labels: {team: blue}}
    spec:
      requirements: [{key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}]
      taints: []
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 100
---
apiVersion: scheduling.x-k8s.io/v1alpha1
kind: PodGroup
metadata: {name: gang}
spec: {minMember: 2}
"""

FLEET = """
apiVersion: raypipe.io/v1
kind: Fleet
limits: {usdPerHour: "500", nvidia.com/gpu: "64"}
settings: {gap_target_fraction: 0.005}
clusters:
- name: one
  provider: aws
  region: us-east-1
  zones: [us-east-1a, us-east-1b]
  capacityTypes: [spot, on-demand]
  requirements: [{key: karpenter.k8s.aws/instance-category, operator: In, values: [m, g, t]}]
  limits: {cpu: "64", nvidia.com/gpu: "8", usdPerHour: "20"}
  packing: joint
  sharedNode: {cpu: "4", memory: 16Gi}
  dedicatedFrom: {cpu: "3", memory: 12Gi}
  gpuSlices: {t4: 4}
  arch: amd64+arm64
  nodes: karpenter
  settings: {price_multiplier: 0.9, reserved: [{instanceType: m5.xlarge, zone: us-east-1a, count: 1, usdPerHour: 0.05}]}
  manifests: [objects.yaml]
"""

SETTINGS = """
gap_target_fraction: 0.01
burstable: list
price_multiplier: 0.8
max_spot_price_ratio: 0.9
max_spot_interrupt_bucket: 3
spot_price_ratio_estimate: 0.4
exclude_instance_categories: [inf, trn]
manage: all
managed_labels: {elotl-luna: "true"}
custom_shapes: []
lp_rounds: 5
"""

TYPES = """provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib,\
allocatable_cpu_m,allocatable_memory_mib,allocatable_pods
aws,m5.xlarge,m5,amd64,4,16384,,,0,,3900,14336,58
aws,m6g.xlarge,m6g,arm64,4,16384,,,0,,3900,14336,58
aws,t3.xlarge,t3,amd64,4,16384,,,0,,3900,14336,58
aws,g4dn.xlarge,g4dn,amd64,4,16384,nvidia,t4,1,16384,3900,14336,29
"""

OFFERINGS = """provider,region,instance_type,capacity_type,usd_per_hour,interruption_bucket,zone
aws,us-east-1,m5.xlarge,on-demand,0.20,,
aws,us-east-1,m5.xlarge,spot,0.10,0,
aws,us-east-1,m6g.xlarge,spot,0.08,1,us-east-1a
aws,us-east-1,t3.xlarge,spot,0.07,0,
aws,us-east-1,g4dn.xlarge,on-demand,0.50,,
"""
