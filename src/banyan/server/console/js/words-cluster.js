/** The words of the Cluster page; see words.js. */

/** @type {Object<string, [string, string]>} */
export const CLUSTER_WORDS = {
  "cluster.nav": ["Cluster", "集群"],
  "cluster.title": ["Cluster", "集群"],
  "cluster.text": [
    "One model on several machines: who takes part, how they are joined, and how fast they are.",
    "多台机器共同运行一个模型：有谁参与、如何相连、速度如何。",
  ],

  "cluster.none.title": ["This server's models run on one machine", "本服务的模型在单机运行"],
  "cluster.none.text": [
    "A model too large or too slow for this machine can be spread over several. Each then holds and " +
      "computes a part of it; an ordinary network is enough.",
    "如果模型对这台机器来说太大或太慢，可以分布到多台机器：每台只保存并计算其中一部分，普通网络即可。",
  ],
  "cluster.none.up": [
    "Start the server so that it waits for one more machine:",
    "启动服务，让它等待另一台机器加入：",
  ],
  "cluster.none.join": [
    "It prints what to type on the other machine, with its address and a token:",
    "它会显示另一台机器要输入的命令，其中含地址和令牌：",
  ],
  "cluster.none.local": [
    "To see a cluster on this machine alone, let two processes share the model:",
    "想在本机先看看效果，可以让两个进程分担模型：",
  ],

  "cluster.state": ["State", "状态"],
  "cluster.state.forming": ["Forming", "组建中"],
  "cluster.state.ready": ["Ready", "就绪"],
  "cluster.state.down": ["Down", "已中断"],
  "cluster.machines": ["Machines", "机器"],
  "cluster.machines.of": ["{here} of {all}", "{here} / {all}"],
  "cluster.speed": ["Writes", "生成速度"],
  "cluster.speed.detail": ["tokens/s; reads {reading}", "词元/秒；读入 {reading}"],
  "cluster.requests": ["Requests", "请求"],
  "cluster.requests.waiting": ["running; {n} waiting", "进行中；{n} 个排队"],
  "count.cores": ["{n} cores", "{n} 核"],
  "count.cores.one": ["1 core", "1 核"],
  "count.ranks": ["{n} ranks", "{n} 个计算进程"],
  "count.ranks.one": ["1 rank", "1 个计算进程"],

  "cluster.waiting": ["Waiting for {n} of {all} machines", "还在等待 {all} 台机器中的 {n} 台"],
  "cluster.forming": [
    "All machines are here; each is loading its part of the model",
    "机器已到齐，正在各自加载模型的一部分",
  ],
  "cluster.join.each": ["On each further machine, type:", "在其余每台机器上输入："],
  "cluster.join.named": ["Not here yet: {names}. There, type:", "尚未加入：{names}。请在那里输入："],
  "cluster.join.token": [
    "TOKEN stands for the join token. It is a secret that is not shown here: the head printed it " +
      "in its terminal when it started.",
    "TOKEN 代表加入令牌。它是机密，不在此显示：主机启动时已在其终端中给出。",
  ],
  "cluster.down": ["The cluster is down: requests are turned away", "集群已中断，暂不接受请求"],
  "cluster.down.awaits": [
    "It forms again by itself as soon as all machines are back.",
    "所有机器恢复后会自动重新组建。",
  ],
  "cluster.down.again": [
    "All machines are here: it is being formed again. If it goes down for the same cause once more, " +
      "mend that first.",
    "机器都在，正在重新组建。如果因同样的原因再次中断，请先排除该原因。",
  ],
  "cluster.copy": ["Copy: {text}", "复制：{text}"],

  "cluster.map.title": ["Machines and links", "机器与链路"],
  "cluster.assumed": ["assumed", "假定值"],
  "cluster.encrypted": ["encrypted (TLS)", "已加密（TLS）"],
  "cluster.map.label": ["{n} machines and the links between them", "{n} 台机器及其链路"],
  "cluster.awaited": ["not here yet", "尚未加入"],
  "cluster.map.slowest": ["slowest: {time}", "最慢：{time}"],
  "cluster.a_machine": ["A machine", "一台机器"],
  "cluster.links.title": ["Every link, both ways", "全部链路（双向）"],
  "cluster.links.link": ["Link", "链路"],
  "cluster.links.inside": ["within {host}", "{host} 内部"],
  "cluster.links.latency": ["Latency", "延迟"],
  "cluster.links.bandwidth": ["Bandwidth", "带宽"],

  "cluster.machines.title": ["Memory and ranks", "内存与计算进程"],
  "cluster.memory": [
    "ranks {held} · everything else {others} · of {total}",
    "计算进程 {held} · 其他 {others} · 共 {total}",
  ],
  "cluster.this_machine": ["this machine", "本机"],
  "cluster.heard": ["heard {seconds} s ago", "{seconds} 秒前有响应"],
  "cluster.rank": ["rank {n}", "进程 {n}"],
  "cluster.rank.starting": ["starting", "启动中"],
  "cluster.rank.connecting": ["connecting", "连接中"],
  "cluster.rank.loading": ["loading", "加载中"],
  "cluster.rank.measuring": ["measuring", "测速中"],
  "cluster.rank.ready": ["ready", "就绪"],
  "cluster.rank.failed": ["failed", "出错"],
  "cluster.rank.ended": ["ended", "已结束"],
  "cluster.rank.unknown": ["not heard of yet", "尚无消息"],

  "cluster.sums.title": ["How the ranks sum", "求和方式"],
  "cluster.sums.text": [
    "Every way to sum was timed on these links when the group formed; for each size of message the " +
      "fastest is used. Open a line to compare.",
    "组建时在这些链路上实测了每种求和方式；每种消息大小都采用最快的一种。点开一行可比较。",
  ],
  "cluster.sums.none": [
    "Nothing has been measured: there are no sums, or the group has not formed.",
    "尚未测量：没有需要求和的进程，或集群还未组建。",
  ],
  "cluster.sums.fixed": [
    "The operator asked for {algorithm}: nothing else was tried.",
    "操作者指定使用 {algorithm}，未尝试其他方式。",
  ],
  "cluster.sums.lossy": [
    "Numbers may cross machines as {payload}, which rounds them.",
    "数值可能以 {payload} 形式跨机传输，会有舍入。",
  ],
  "cluster.sums.predicted": ["predicted {time}", "预测 {time}"],
  "cluster.sums.faster": ["{ratio}× as fast as {other}", "速度是 {other} 的 {ratio} 倍"],
  "cluster.sums.alone": ["the only one tried at this size", "此大小仅试了这一种"],
  "cluster.way.exchange": [
    "Each machine sends its sum to every other one, once.",
    "各机器互相直接发送各自的和，一次完成。",
  ],
  "cluster.way.scatter": [
    "Each machine sums one piece of the message, then all collect the pieces.",
    "每台机器负责消息的一段求和，再互相收集各段。",
  ],
  "cluster.way.tree": [
    "One machine collects the sums of the others and sends back the total.",
    "一台机器收集其他机器的和，再把总和发回。",
  ],
  "cluster.way.ring": [
    "Pieces of the message go round all ranks, twice.",
    "消息分段沿所有进程环行两圈。",
  ],
  "cluster.way.star": [
    "Every rank sends all it has to one rank, which sends back the total.",
    "每个进程把全部数据发给同一个进程，由它发回总和。",
  ],

  "cluster.options.title": ["Why this layout", "为什么这样划分"],
  "cluster.options.text": [
    "What the planner expects of each layout that these machines could run, for one request at a " +
      "time, from their speeds and links.",
    "规划器根据各机器的速度与链路，对每种可用划分在单个请求下的预期。",
  ],
  "cluster.options.assumed": [
    "Not measured, but assumed: {what}.",
    "以下并非实测，而是假定：{what}。",
  ],
  "cluster.options.layout": ["Layout", "划分"],
  "cluster.options.layers": ["Layers", "层"],
  "cluster.options.first": ["First token", "首个词元"],
  "cluster.options.next": ["Each next", "之后每个"],
  "cluster.options.reason": ["Because", "原因"],
  "cluster.options.best": ["The fastest of them.", "其中最快。"],
  "cluster.options.used": ["in use", "使用中"],
  "cluster.replica": ["Replica {n}", "副本 {n}"],
  "cluster.split.copies": ["{n} replicas share the requests.", "{n} 个副本分担请求。"],
  "cluster.split.title": ["Who computes what", "任务划分"],
  "cluster.split.none": ["Known once all machines are here.", "机器到齐后可见。"],
  "cluster.split.one": ["All {layers} layers run on {ranks} rank.", "全部 {layers} 层由 {ranks} 个进程计算。"],
  "cluster.split.tp": [
    "Each of the {layers} layers is cut among {ranks} ranks, which sum their results twice a layer.",
    "{layers} 层中的每一层都由 {ranks} 个进程分担，每层求和两次。",
  ],
  "cluster.split.pp": [
    "The {layers} layers lie on {stages} stages of {ranks} rank, one after the other.",
    "{layers} 层依次分布在 {stages} 个阶段，每阶段 {ranks} 个进程。",
  ],
  "cluster.split.both": [
    "The {layers} layers lie on {stages} stages, one after the other; in each, up to {ranks} ranks " +
      "share every layer.",
    "{layers} 层依次分布在 {stages} 个阶段；每个阶段内至多 {ranks} 个进程分担每一层。",
  ],
  "cluster.split.layers": ["Layers {first}–{last}", "第 {first}–{last} 层"],
  "count.heads": ["{n} heads", "{n} 个注意力头"],
  "count.heads.one": ["1 head", "1 个注意力头"],
  "count.columns": ["{n} columns", "{n} 列"],
  "count.columns.one": ["1 column", "1 列"],
  "count.experts": ["{n} experts", "{n} 个专家"],
  "count.experts.one": ["1 expert", "1 个专家"],
};
